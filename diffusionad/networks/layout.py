"""What a device asks for: the memory layout of feature maps, and whether it multiplies bf16 numbers."""

import torch
from torch import nn


def memory_format(device: torch.device) -> torch.memory_format:
    """Return channels last for a CPU and NCHW for a GPU, whose group normalisation copies any other layout."""
    return torch.channels_last if device.type == "cpu" else torch.contiguous_format


def lay_out(module: nn.Module, device: torch.device) -> None:
    """Convert the weights of a module to the layout of a device, in place; their values stay the same."""
    module.to(memory_format=memory_format(device))  # type: ignore[call-overload]  # missing in torch's stubs


def has_bf16() -> bool:
    """Whether the CPU multiplies bf16 numbers in hardware."""
    return bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


def best_device() -> torch.device:
    """The first GPU that torch can use, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
