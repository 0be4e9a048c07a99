"""Measured times as a table for `dvc plots` and as a figure."""

from collections.abc import Sequence
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from stages.benchmark.timing import TimingRow
from stages.files import atomic_file

FIRST = ("name", "mode", "runtime", "precision", "threads", "batch")
WIDTH_INCHES = 7.0


def write_table(rows: Sequence[TimingRow], path: Path) -> None:
    """Write a CSV with one line per measurement, each with a unique name."""
    with atomic_file(path) as draft:
        to_frame(rows).to_csv(draft, index=False)


def to_frame(rows: Sequence[TimingRow]) -> pd.DataFrame:
    """Make a table of the measurements, names first."""
    frame = pd.DataFrame(rows)
    parts = (frame[column].astype(str) for column in ("mode", "runtime", "precision", "threads", "batch"))
    frame["name"] = ["{} {} {}, {} threads, batch {}".format(*row) for row in zip(*parts, strict=True)]
    return frame[[*FIRST, *(column for column in frame if column not in FIRST)]]


def draw_rates(rows: Sequence[TimingRow], path: Path) -> None:
    """Draw images per second of each measurement as a bar, from the 95th percentile of its time to the median."""
    frame = to_frame(rows).sort_values("images_per_s", kind="stable")
    figure = Figure(figsize=(WIDTH_INCHES, 0.5 + 0.22 * len(frame)), layout="constrained", dpi=120)
    axis = figure.subplots()
    slow = frame["images_per_s"] * frame["ms_p50"] / frame["ms_p95"]
    axis.barh(frame["name"], frame["images_per_s"], color="#2b6ca3")
    axis.barh(frame["name"], slow, color="#9cc3e0")
    axis.set_xscale("log")
    axis.set_xlabel("images per second: median, and the slowest of twenty (light)")
    axis.tick_params(axis="y", labelsize=7)
    with atomic_file(path) as draft:
        figure.savefig(draft, format="png", metadata={"Software": None})
