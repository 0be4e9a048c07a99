import pytest
import torch
from torch import nn

from diffusionad.networks.layout import lay_out, memory_format


@pytest.mark.parametrize(("device", "expected"), [("cpu", torch.channels_last), ("cuda:1", torch.contiguous_format)])
def test_a_cpu_takes_channels_last_and_a_gpu_nchw(device, expected):
    assert memory_format(torch.device(device)) == expected


def test_a_layout_moves_no_value_and_can_be_taken_back():
    module = nn.Conv2d(3, 4, 3)
    before = module.weight.detach().clone()

    lay_out(module, torch.device("cpu"))
    assert module.weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(module.weight, before)

    lay_out(module, torch.device("cuda"))  # the layout alone: nothing goes to a device
    assert module.weight.is_contiguous()
    assert torch.equal(module.weight, before)
