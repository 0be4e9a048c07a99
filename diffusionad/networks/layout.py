"""The memory layout of feature maps."""

import torch
from torch import nn


def memory_format(device: torch.device) -> torch.memory_format:
    """Return channels last for a CPU and NCHW for a GPU, whose group normalisation copies any other layout."""
    return torch.channels_last if device.type == "cpu" else torch.contiguous_format


def lay_out(module: nn.Module, device: torch.device) -> None:
    """Convert the weights of a module to the layout of a device, in place; their values stay the same."""
    module.to(memory_format=memory_format(device))  # type: ignore[call-overload]  # missing in torch's stubs
