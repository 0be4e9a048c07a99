"""One training by several processes: each takes its share of every batch, and all end in the same weights.

A step is that of one process on the whole batch, up to rounding: the shares are of one size with as many normal images
each, so the mean over the processes of a loss or a gradient is that over the batch, and batch normalisation takes its
statistics over all of it. Dropout, and the walks of the modes `iterative` and `ddim`, draw for the share alone:
there the processes agree with a single one in distribution, not in digits.
"""

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Share(NamedTuple):
    """Which part of each batch a process trains on."""

    rank: int
    """Of this process, in [0, processes)."""
    processes: int

    @property
    def slots(self) -> slice:
        """Its places in a batch: every n-th, so that it has as many normal and anomalous images as the others."""
        return slice(self.rank, None, self.processes)

    @property
    def writes(self) -> bool:
        """Whether this process writes down what all of them hold."""
        return self.rank == 0

    def check(self, batch_size: int, accumulate: int) -> None:
        """Refuse a batch that cannot be shared evenly.

        Raises:
            ValueError: If half a batch is no multiple of the parts, of which each process works off `accumulate`.
        """
        parts = self.processes * accumulate
        if batch_size % (2 * parts):
            raise ValueError(
                f"`training.batch_size` is {batch_size}; expected a multiple of {2 * parts}, so that each of {parts} "
                f"parts ({self.processes} processes x accumulate {accumulate}) is half normal: change one of them"
            )


WHOLE = Share(0, 1)
"""The share of a process that trains alone."""


class SharedBatchNorm(nn.BatchNorm2d):
    """Batch normalisation with the statistics of the batches of all processes, whose sizes must be the same.

    torch.nn.SyncBatchNorm does this on GPUs only; here what runs on a CPU, and is tested there, runs on a GPU too.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x of shape (B, C, H, W); in evaluation mode as nn.BatchNorm2d."""
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None  # noqa: S101  # those of nn.BatchNorm2d as it is made by default
        assert self.running_var is not None  # noqa: S101
        assert self.num_batches_tracked is not None  # noqa: S101
        assert self.momentum is not None  # noqa: S101
        wide = x.float()  # sums over a batch lose digits in bf16
        count = dist.get_world_size() * x.numel() // x.shape[1]
        mean = _sum(wide.sum(dim=(0, 2, 3))) / count
        centred = wide - mean[:, None, None]
        variance = _sum(centred.square().sum(dim=(0, 2, 3))) / count
        with torch.no_grad():
            self.num_batches_tracked += 1
            self.running_mean.lerp_(mean, self.momentum)
            self.running_var.lerp_(variance * count / (count - 1), self.momentum)
        scale = self.weight * (variance + self.eps).rsqrt()
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x)


def share_batch_norm(model: nn.Module) -> None:
    """Let every nn.BatchNorm2d of `model` take its statistics over all processes."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            # The same module by another forward pass: parameters, frozen or not, statistics and mode stay.
            module.__class__ = SharedBatchNorm


def mean_over_processes(values: Tensor) -> Tensor:
    """The mean of what all processes give, the same bytes in each; carries no gradient."""
    total = values.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


class _Sum(torch.autograd.Function):
    """Sum over the processes. What each of them makes of it reaches every summand: the gradients are summed too."""

    @staticmethod
    def forward(_context: Any, x: Tensor) -> Tensor:  # noqa: ANN401  # torch's context has no type of its own
        total = x.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, gradient: Tensor) -> Tensor:  # noqa: ANN401
        total = gradient.clone()
        dist.all_reduce(total)
        return total


def _sum(x: Tensor) -> Tensor:
    total: Tensor = _Sum.apply(x)  # type: ignore[no-untyped-call]  # torch leaves it untyped
    return total
