"""Times of a model in each mode and runtime, side by side, beside the peak speed of the machine."""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from diffusionad.deployment.latency import measure
from diffusionad.deployment.peak_speed import PeakSpeed, measure_peak_speed
from diffusionad.detector import Detector
from diffusionad.runtime.engines import Variant, open_engine
from diffusionad.section import Section

MANY_PASSES = 10
"""A mode with more passes than this is long, and is timed less often."""


class Effort(Section):
    """How much is measured: part `stage` or `bench` of section `benchmark`."""

    threads: tuple[int, ...] = Field(min_length=1, description="numbers of threads; 0 is one thread per core")
    rounds: int = Field(ge=1, description="timed calls of each kind, taken in turn")
    warmup: int = Field(ge=0, description="calls of each kind before them that are not timed")
    long_rounds: int = Field(
        ge=0, description="rounds of the modes of many passes, at the smallest batch; 0 leaves them out"
    )
    memory: bool = Field(description="whether peak memory is measured too, in one process per runtime")


class Subject(NamedTuple):
    """One way to run the model's own mode."""

    variant: Variant
    folder: Path | None
    """Folder of the export; None for torch."""


class Case(NamedTuple):
    """One thing to time."""

    mode: str
    variant: Variant
    detector: Detector


TimingRow = dict[str, Any]
"""mode, runtime, precision, threads, batch; times in ms per call, images_per_s, share_of_peak."""


def time_all(
    effort: Effort,
    batch_sizes: Sequence[int],
    detector: Detector,
    subjects: Sequence[Subject],
    images: Tensor,
    gmac: Mapping[str, float],
) -> tuple[list[PeakSpeed], list[TimingRow]]:
    """Time everything at each number of threads and batch size, and measure the peak speed at each number of threads.

    Args:
        effort: How much is measured.
        batch_sizes: Images per call.
        detector: The model, run in torch in each of its modes.
        subjects: Other ways to run the model's own mode.
        images: Images of the largest batch, shape (B, 3, H, W).
        gmac: Multiply-adds per image in 10^9, by mode.
    """
    before, speeds, rows = torch.get_num_threads(), [], []
    most = max(map(_cores, effort.threads))
    for threads in map(_cores, effort.threads):
        speeds.append(measure_peak_speed(threads))
        short, long = _cases(detector, subjects, threads)
        for batch in batch_sizes:
            with_long = threads == most and batch == min(batch_sizes)
            for cases, rounds in ((short, effort.rounds), (long, effort.long_rounds if with_long else 0)):
                if cases and rounds:
                    warmup = effort.warmup if cases is short else 0
                    for row in _rows(cases, images[:batch], rounds, warmup):
                        speed = 2 * gmac[row["mode"]] * row["images_per_s"]  # GFLOP/s
                        # three significant digits: a small network on busy cores reaches only 1e-4
                        share = float(f"{speed / speeds[-1].gemm_gflops:.3g}")
                        rows.append(row | {"threads": threads, "batch": batch, "share_of_peak": share})
    torch.set_num_threads(before)
    return speeds, rows


def _cases(detector: Detector, subjects: Sequence[Subject], threads: int) -> tuple[list[Case], list[Case]]:
    own = next(iter(detector.modes))
    torch_variant = Variant("torch", "fp32")
    exports = [
        Case(own, variant, detector.with_engine(variant, open_engine(folder, variant, threads)))
        for variant, folder in subjects
        if folder is not None
    ]
    cases = {True: list[Case](), False: list[Case]()}
    for name, mode in detector.modes.items():
        cases[mode.passes > MANY_PASSES].append(Case(name, torch_variant, detector))
    return cases[False] + exports, cases[True]


def _rows(cases: list[Case], images: Tensor, rounds: int, warmup: int) -> Iterator[TimingRow]:
    calls = {
        f"{case.mode} {case.variant}": partial(case.detector.predict, images, mode=case.mode, batch_size=len(images))
        for case in cases
    }
    measured = measure(calls, rounds, warmup)
    for case, latency in zip(cases, measured.values(), strict=True):
        yield {
            "mode": case.mode,
            **case.variant._asdict(),
            **{name: round(value, 3) for name, value in latency._asdict().items()},
            "images_per_s": round(1000 * len(images) / latency.ms_p50, 2),
        }


def _cores(threads: int) -> int:
    return threads or os.cpu_count() or 1
