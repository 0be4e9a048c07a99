"""Times of a model in each paradigm and runtime, side by side, with what the machine can do beside them."""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from diffusionad.detector import Detector
from diffusionad.runtime.calibration import Calibration, calibrate
from diffusionad.runtime.engines import Variant, open_engine
from diffusionad.runtime.latency import measure
from diffusionad.section import Section

LONG = ("ddim", "iterative")


class Effort(Section):
    """How much is measured: part `stage` or `bench` of section `benchmark`."""

    threads: tuple[int, ...] = Field(min_length=1, description="numbers of threads; 0 is a thread a core")
    rounds: int = Field(ge=1, description="timed calls of each kind, taken in turn")
    warmup: int = Field(ge=0, description="calls of each kind before, not timed")
    long_rounds: int = Field(
        ge=0, description="the same for `iterative` and `ddim`, many passes each, at the smallest batch; 0: left out"
    )
    memory: bool = Field(description="whether the most memory is measured too, in a process for each runtime")


class Subject(NamedTuple):
    """One way to run the model's own paradigm."""

    variant: Variant
    folder: Path | None
    """Of the export; None for torch."""


class Case(NamedTuple):
    """One thing to time."""

    paradigm: str
    variant: Variant
    detector: Detector


Row = dict[str, Any]
"""paradigm, runtime, precision, threads, batch; times in ms a call, images_per_s, share_of_peak."""


def time_all(
    effort: Effort,
    batch_sizes: Sequence[int],
    detectors: Mapping[str, Detector],
    subjects: Sequence[Subject],
    images: Tensor,
    gmac: Mapping[str, float],
) -> tuple[list[Calibration], list[Row]]:
    """Time everything at each number of threads and batch size, and calibrate the machine at each number of threads.

    Args:
        effort: How much.
        batch_sizes: Images a call.
        detectors: By torch, for each paradigm; the first is the model itself.
        subjects: What else runs the model's own paradigm.
        images: As many as the largest batch.
        gmac: Multiply-adds an image of each paradigm, in 10^9.
    """
    before, calibrations, rows = torch.get_num_threads(), [], []
    most = max(map(_cores, effort.threads))
    for threads in map(_cores, effort.threads):
        calibrations.append(calibrate(threads))
        short, long = _cases(detectors, subjects, threads)
        for batch in batch_sizes:
            with_long = threads == most and batch == min(batch_sizes)
            for cases, rounds in ((short, effort.rounds), (long, effort.long_rounds if with_long else 0)):
                if cases and rounds:
                    warmup = effort.warmup if cases is short else 0
                    for row in _rows(cases, images[:batch], rounds, warmup):
                        speed = 2 * gmac[row["paradigm"]] * row["images_per_s"]  # GFLOP/s
                        # three digits, not three decimals: a small network on busy cores reaches 1e-4
                        share = float(f"{speed / calibrations[-1].gemm_gflops:.3g}")
                        rows.append(row | {"threads": threads, "batch": batch, "share_of_peak": share})
    torch.set_num_threads(before)
    return calibrations, rows


def _cases(
    detectors: Mapping[str, Detector], subjects: Sequence[Subject], threads: int
) -> tuple[list[Case], list[Case]]:
    own, detector = next(iter(detectors.items()))
    torch_variant = Variant("torch", "fp32")
    exports = [
        Case(own, variant, detector.with_engine(variant, open_engine(folder, variant, threads)))
        for variant, folder in subjects
        if folder is not None
    ]
    by_torch = [Case(paradigm, torch_variant, one) for paradigm, one in detectors.items()]
    short = [case for case in by_torch if case.paradigm not in LONG]
    return short + exports, [case for case in by_torch if case.paradigm in LONG]


def _rows(cases: list[Case], images: Tensor, rounds: int, warmup: int) -> Iterator[Row]:
    calls = {
        f"{case.paradigm} {case.variant}": partial(
            case.detector.predict, images, paradigm=case.detector.paradigms.get(case.paradigm), batch_size=len(images)
        )
        for case in cases
    }
    measured = measure(calls, rounds, warmup)
    for case, latency in zip(cases, measured.values(), strict=True):
        yield {
            "paradigm": case.paradigm,
            **case.variant._asdict(),
            **{name: round(value, 3) for name, value in latency._asdict().items()},
            "images_per_s": round(1000 * len(images) / latency.ms_p50, 2),
        }


def _cores(threads: int) -> int:
    return threads or os.cpu_count() or 1
