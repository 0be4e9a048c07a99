"""Figures of a test set with their intervals; what cannot be computed is null, with the reason."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from diffusionad.evaluation.bootstrap import (
    BINS,
    bootstrap_histograms,
    bootstrap_image_metrics,
    draw_resamples,
    percentile_interval,
)
from diffusionad.evaluation.histograms import count_tallied
from diffusionad.evaluation.tally import Tally, sweep_tally, tie_bounds
from diffusionad.metrics.pixels import Maps, Masks
from diffusionad.metrics.pro import pro
from diffusionad.metrics.ranking import image_ap, image_auroc, image_f1
from diffusionad.metrics.sweep import auroc, average_precision
from diffusionad.metrics.threshold import operating_point
from diffusionad.section import Section

Figures = dict[str, float | int | str | None]

COMPARED = {
    "image_auroc": "image_auroc",
    "pixel_pro": "pixel_pro",
    "synthetic_pixel_pro": "synthetic_pixel_pro",
    "recall": "at_threshold_recall",
    "false_alarm_rate": "at_threshold_false_alarm_rate",
}
"""What a person compares, and its name in metrics.json. `dvc metrics show` prints a column for each: they fit 100."""
DECIMALS = 4


class FiguresConfig(Section):
    """Part `figures` of section `evaluation`."""

    fpr_limit: float = Field(gt=0, le=1, description="largest false positive rate of the PRO curve; 0.3 by custom")
    resamples: int = Field(ge=1, description="bootstrap resamples of images behind each interval")
    seed: int = Field(ge=0, description="of the bootstrap")


def image_figures(config: FiguresConfig, labels: NDArray[np.int64], scores: NDArray[np.float64]) -> Figures:
    """image_auroc, image_ap and image_f1 (the best over thresholds), each with `_low` and `_high` (95 %).

    Args:
        config: Of the bootstrap.
        labels: 1 = anomalous, shape (N,).
        scores: Higher is more anomalous, shape (N,).
    """

    def compute() -> tuple[Mapping[str, float], Mapping[str, NDArray[np.float64]]]:
        points = {
            "image_auroc": image_auroc(labels, scores),
            "image_ap": image_ap(labels, scores),
            "image_f1": image_f1(labels, scores).f1,
        }
        draws = draw_resamples(labels, config.resamples, np.random.default_rng(config.seed))
        replicates = bootstrap_image_metrics(labels, scores, draws)
        return points, dict(zip(points, (replicates.auroc, replicates.ap, replicates.f1), strict=True))

    return _with_intervals(("image_auroc", "image_ap", "image_f1"), compute)


def pixel_figures(config: FiguresConfig, prefix: str, maps: Maps, masks: Masks, counts: Tally) -> Figures:
    """pixel_auroc, pixel_ap and pixel_pro under `prefix`, each with `_low` and `_high` (95 %), exact for float16 maps.

    `pixel_rounding` is the most that one of them can be off, since the maps were rounded to float16.

    Args:
        config: Of the bootstrap and of PRO.
        prefix: "" for real defects, "synthetic_" for synthetic ones.
        maps: Of normal and anomalous images, shape (H, W) each; one is in memory at a time.
        masks: Shape (H, W) each; empty for a normal image.
        counts: Their tally.
    """
    names = tuple(f"{prefix}pixel_{name}" for name in ("auroc", "ap", "pro"))
    rounding: Figures = {}

    def compute() -> tuple[Mapping[str, float], Mapping[str, NDArray[np.float64]]]:
        steps = sweep_tally(counts)
        exact = [float(auroc(steps)), float(average_precision(steps)), float(pro(steps, config.fpr_limit))]
        bounds = tie_bounds(steps, config.fpr_limit)
        sides = [abs(side - value) for pair, value in zip(bounds, exact, strict=False) for side in pair]
        rounding[f"{prefix}pixel_rounding"] = max(sides)
        labels = [int(mask.any()) for mask in masks]
        draws = draw_resamples(labels, config.resamples, np.random.default_rng(config.seed))
        replicates = bootstrap_histograms(count_tallied(maps, masks, BINS, counts), config.fpr_limit, draws)
        return (
            dict(zip(names, exact, strict=True)),
            dict(zip(names, (replicates.auroc, replicates.ap, replicates.pro), strict=True)),
        )

    return _with_intervals(names, compute) | rounding


def threshold_figures(labels: NDArray[np.int64], scores: NDArray[np.float64], threshold: float) -> Figures:
    """The calibrated threshold and what it does on the test set: `at_threshold_*`."""
    point = operating_point(labels, scores, threshold)
    return {
        "threshold": threshold,
        "at_threshold_precision": point.precision,
        "at_threshold_recall": point.recall,
        "at_threshold_f1": point.f1,
        "at_threshold_false_alarm_rate": point.false_alarm_rate,
    }


def compared(figures: Figures) -> dict[str, float]:
    """Pick the figures that a person compares, rounded; one that cannot be computed is left out.

    Args:
        figures: All figures of a category, as metrics.json holds them.
    """
    found = {name: figures.get(stored) for name, stored in COMPARED.items()}
    return {name: round(value, DECIMALS) for name, value in found.items() if isinstance(value, float)}


def absent(prefix: str, reason: str) -> Figures:
    """Pixel figures that do not exist, and why."""
    figures: Figures = {f"{prefix}pixel_{name}": None for name in ("auroc", "ap", "pro")}
    return figures | {f"{prefix}pixel_reason": reason}


def _with_intervals(
    names: Sequence[str], compute: Callable[[], tuple[Mapping[str, float], Mapping[str, NDArray[np.float64]]]]
) -> Figures:
    try:
        points, replicates = compute()
    except ValueError as error:
        nothing: Figures = dict.fromkeys(names)
        return nothing | {f"{names[0].rsplit('_', 1)[0]}_reason": str(error)}
    figures: Figures = {}
    for name in names:
        low, high = percentile_interval(replicates[name])
        figures |= {name: points[name], f"{name}_low": low, f"{name}_high": high}
    return figures
