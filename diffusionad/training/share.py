"""One training by several processes: each takes its share of every batch, and all end with the same weights.

Up to rounding, a step equals that of one process on the whole batch: all shares have the same size and the same number
of normal images, so the mean of a loss or a gradient over the processes is its mean over the batch, and batch
normalisation takes its statistics over the whole batch. Dropout and the walks of the modes `iterative` and `ddim` draw
per share: there the result agrees with that of a single process in distribution, not digit by digit.
"""

from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn


class Share(NamedTuple):
    """The part of each batch that a process trains on."""

    rank: int
    """Rank of this process, in [0, processes)."""
    processes: int

    @property
    def slots(self) -> slice:
        """Its places in a batch: every n-th, so that all shares have the same number of normal and anomalous images."""
        return slice(self.rank, None, self.processes)

    @property
    def writes(self) -> bool:
        """Whether this process writes the files of all of them."""
        return self.rank == 0

    def check(self, batch_size: int, accumulate: int) -> None:
        """Refuse a batch that cannot be shared evenly.

        Raises:
            ValueError: If half a batch is not a multiple of the number of parts, which is processes x accumulate.
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

    torch.nn.SyncBatchNorm does this on GPUs only; this class runs, and is tested, on a CPU too.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Normalise x of shape (B, C, H, W); same as nn.BatchNorm2d in evaluation mode."""
        if not self.training:
            return super().forward(x)
        assert self.running_mean is not None  # noqa: S101  # nn.BatchNorm2d has them by default
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
            # The module keeps its parameters, frozen or not, its statistics and its mode; only its forward changes.
            module.__class__ = SharedBatchNorm


def mean_over_processes(values: Tensor) -> Tensor:
    """Compute the mean over all processes of `values`, whose shape is the same in each.

    Every process gets the same bytes, in the shape of `values`; the result carries no gradient.
    """
    total = values.detach().clone()
    dist.all_reduce(total)
    return total / dist.get_world_size()


class _Sum(torch.autograd.Function):
    """Sum over the processes. Each uses it, so the gradient of a summand is the sum of all gradients."""

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
