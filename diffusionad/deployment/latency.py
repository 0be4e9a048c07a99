"""How long calls take, measured side by side."""

from collections.abc import Callable, Mapping
from time import perf_counter
from typing import NamedTuple

import numpy as np


class Latency(NamedTuple):
    """Times of one call in milliseconds."""

    ms_p50: float
    ms_p95: float
    ms_p99: float
    ms_min: float
    """The fastest call, nearest to the cost of the work itself: disturbance only adds time."""
    spread: float
    """Interquartile range over median; above about 0.1 the machine was busy, and the times should be measured again."""


def measure(
    calls: Mapping[str, Callable[[], object]], rounds: int, warmup: int, clock: Callable[[], float] | None = None
) -> dict[str, Latency]:
    """Time each call once per round, so that a machine that slows down slows all of them.

    Each round begins with another call, so that no call always follows the same one.

    Args:
        calls: Calls to time, by name. A call that starts work elsewhere (a GPU) must wait for it to end.
        rounds: Timed rounds, >= 1.
        warmup: Rounds before them that do not count, >= 0.
        clock: Clock in seconds; wall time by default. `time.process_time` counts the processor time of this process,
            which other processes on the machine change little.

    Raises:
        ValueError: If there is no call, no round, or warmup is negative.
    """
    if not calls or rounds < 1 or warmup < 0:
        raise ValueError(f"expected calls, rounds >= 1 and warmup >= 0, got {len(calls)} calls, {rounds}, {warmup}")
    names, now = list(calls), clock or perf_counter
    seconds: dict[str, list[float]] = {name: [] for name in names}
    for i in range(warmup + rounds):
        first = i % len(names)
        for name in names[first:] + names[:first]:
            start = now()
            calls[name]()
            seconds[name].append(now() - start)
    return {name: _summary(times[warmup:]) for name, times in seconds.items()}


def _summary(seconds: list[float]) -> Latency:
    ms = np.asarray(seconds) * 1000
    p25, p50, p75, p95, p99 = (float(p) for p in np.percentile(ms, [25, 50, 75, 95, 99]))
    return Latency(p50, p95, p99, float(ms.min()), (p75 - p25) / p50 if p50 > 0 else 0.0)
