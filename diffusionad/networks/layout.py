"""How feature maps lie in memory."""

import torch
from torch import nn


def memory_format(device: torch.device) -> torch.memory_format:
    """Channels last on a CPU, NCHW on a GPU, whose group normalisation takes no other layout without a copy."""
    return torch.channels_last if device.type == "cpu" else torch.contiguous_format


def lay_out(module: nn.Module, device: torch.device) -> None:
    """Bring the weights of a module into the layout of a device, in place; their values stay."""
    module.to(memory_format=memory_format(device))  # type: ignore[call-overload]  # torch's stubs leave it out
