"""What this machine can do at most, so that a reader can tell the machine from the method."""

from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import torch

SIDE = 1024
"""Of the square matrices: large enough for full speed, small enough for a few milliseconds."""
COPY_MIB = 256
"""Larger than any cache."""
REPEATS = 7


class Calibration(NamedTuple):
    """The best of a few tries, since disturbance only adds."""

    threads: int
    gemm_gflops: float
    """Matrix product in fp32: 10^9 floating-point operations a second."""
    copy_gib_per_s: float
    """Bytes read and written a second by a copy in memory."""


def calibrate(threads: int) -> Calibration:
    """Measure matrix products and copies; sets torch's number of threads."""
    torch.set_num_threads(threads)
    a, b = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE)
    source = torch.zeros(COPY_MIB * 2**18)  # float32
    target = torch.empty_like(source)
    gemm = _best(lambda: torch.mm(a, b))
    copy = _best(lambda: target.copy_(source))
    return Calibration(threads, round(2 * SIDE**3 / gemm / 1e9, 1), round(2 * COPY_MIB / 1024 / copy, 1))


def _best(call: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return min(times[1:])
