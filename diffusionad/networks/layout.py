"""How a device takes numbers: the layout of feature maps, and bf16."""

import torch
from torch import nn


def memory_format(device: torch.device) -> torch.memory_format:
    """Channels last on a CPU, NCHW on a GPU, whose group normalisation takes no other layout without a copy."""
    return torch.channels_last if device.type == "cpu" else torch.contiguous_format


def lay_out(module: nn.Module, device: torch.device) -> None:
    """Bring the weights of a module into the layout of a device, in place; their values stay."""
    module.to(memory_format=memory_format(device))  # type: ignore[call-overload]  # torch's stubs leave it out


def has_bf16() -> bool:
    """Whether the CPU multiplies bf16 numbers in hardware."""
    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))
