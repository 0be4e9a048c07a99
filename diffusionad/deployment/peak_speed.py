"""Peak speed of this machine, so that readers can tell its share in a time from that of the method."""

from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import torch

SIDE = 1024
"""Side of the square matrices: large enough for full speed, small enough to take a few milliseconds."""
COPY_MIB = 256
"""Size of the copied block, MiB: larger than any cache."""
REPEATS = 7


class PeakSpeed(NamedTuple):
    """The best of a few tries, since disturbance only adds time."""

    threads: int
    gemm_gflops: float
    """Matrix product in fp32: 10^9 floating-point operations per second."""
    copy_gib_per_s: float
    """Copy in memory: bytes read and written, GiB per second."""


def measure_peak_speed(threads: int) -> PeakSpeed:
    """Measure matrix products and copies; sets torch's number of threads."""
    torch.set_num_threads(threads)
    a, b = torch.rand(SIDE, SIDE), torch.rand(SIDE, SIDE)
    source = torch.zeros(COPY_MIB * 2**18)  # float32
    target = torch.empty_like(source)
    gemm = _best(lambda: torch.mm(a, b))
    copy = _best(lambda: target.copy_(source))
    return PeakSpeed(threads, round(2 * SIDE**3 / gemm / 1e9, 1), round(2 * COPY_MIB / 1024 / copy, 1))


def _best(call: Callable[[], object]) -> float:
    times = []
    for _ in range(REPEATS):
        start = perf_counter()
        call()
        times.append(perf_counter() - start)
    return min(times[1:])
