"""Figures of a test set with their intervals; what cannot be computed is null, with the reason."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

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
from diffusionad.metrics.threshold import images_needed, operating_point, promise
from diffusionad.section import Section

Figures = dict[str, float | int | str | None]

COMPARED = {
    "image_auroc": "image_auroc",
    "pixel_pro": "pixel_pro",
    "synthetic_pixel_pro": "synthetic_pixel_pro",
    "recall": "at_threshold_recall",
    "false_alarm_rate": "at_threshold_false_alarm_rate",
}
"""Figures that people compare, and their names in metrics.json; as columns of `dvc metrics show` they fit 100
characters."""
DECIMALS = 4
NO_PROMISE = "the model does not hold the scores of the normal images that set its threshold; train it again"


class FiguresConfig(Section):
    """Part `figures` of section `evaluation`."""

    fpr_limit: float = Field(gt=0, le=1, description="largest false positive rate of the PRO curve; 0.3 by custom")
    resamples: int = Field(ge=1, description="bootstrap resamples of images behind each interval")
    seed: int = Field(ge=0, description="seed of the bootstrap")


def image_figures(config: FiguresConfig, labels: NDArray[np.int64], scores: NDArray[np.float64]) -> Figures:
    """Compute image_auroc, image_ap and image_f1 (the best over thresholds), each with `_low` and `_high` (95 %).

    Args:
        config: Settings of the bootstrap.
        labels: 0 = normal, 1 = anomalous, shape (N,).
        scores: Image scores, higher is more anomalous, shape (N,).
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
    """Compute pixel_auroc, pixel_ap and pixel_pro, each with `_low` and `_high` (95 %), exact for float16 maps.

    `pixel_rounding` bounds the error of each of them that comes from rounding the maps to float16.

    Args:
        config: Settings of the bootstrap and of PRO.
        prefix: Prefix of the names: "" for real defects, "synthetic_" for synthetic ones.
        maps: Anomaly maps of normal and anomalous images, shape (H, W) each; one is in memory at a time.
        masks: Masks, bool, shape (H, W) each; empty for a normal image.
        counts: Tally of the maps and masks.
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
    """Compute what the calibrated threshold does on the test set: `at_threshold_*`, in [0, 1] or None.

    Args:
        labels: 0 = normal, 1 = anomalous, shape (N,).
        scores: Image scores in [0, 1], shape (N,).
        threshold: The calibrated threshold, in [0, 1].
    """
    point = operating_point(labels, scores, threshold)
    return {
        "threshold": threshold,
        "at_threshold_precision": point.precision,
        "at_threshold_recall": point.recall,
        "at_threshold_f1": point.f1,
        "at_threshold_false_alarm_rate": point.false_alarm_rate,
    }


class Calibration(NamedTuple):
    """What set the threshold of a model."""

    threshold: float
    """The raw score from which an image counts as anomalous."""
    normal_scores: Sequence[float] | None
    """Raw scores of the normal images that calibrated it; None if the model has not kept them."""
    asked: float | None
    """The rate of false alarms that was asked for; None if the model has not kept it."""
    by_copies: int | None
    """How many of the images were judged by copies of the model that did not learn from them; None as above."""

    @classmethod
    def of(cls, config: Any) -> "Calibration":  # noqa: ANN401  # a `DetectorConfig`, maybe of a version that knew less
        """Read it from the settings of a model."""
        scale = getattr(config, "scale", None)
        kept = (getattr(scale, name, None) for name in ("normal_scores", "false_alarm_rate", "judged_by_copies"))
        return cls(config.threshold, *kept)


def promise_figures(calibration: Calibration, test_normal: int, photographs: int) -> Figures:
    """Compute what the threshold promised, to be held against `at_threshold_false_alarm_rate`.

    Args:
        calibration: What set the threshold.
        test_normal: Number of normal test images.
        photographs: Number of normal images of the category, in all splits.

    Returns:
        promised_false_alarm_rate, with `_low` and `_high`: the range of the rate on so many test images in 95 % of
        cases; calibration_images: the number of images behind it; promisable_false_alarm_rate: the lowest rate that
        so many can promise. Where the model knows what was asked for: asked_false_alarm_rate,
        calibration_images_by_copies, and calibration_images_needed and photographs_needed to promise it. Without
        scores the rate is None, with the reason.
    """
    if calibration.normal_scores is None:
        return {"promised_false_alarm_rate": None, "promised_reason": NO_PROMISE}
    promised = promise(calibration.normal_scores, calibration.threshold, test_normal)
    figures: Figures = {
        "promised_false_alarm_rate": promised.rate,
        "promised_false_alarm_rate_low": promised.low,
        "promised_false_alarm_rate_high": promised.high,
        "promisable_false_alarm_rate": promised.least,
        "calibration_images": promised.images,
    }
    if calibration.by_copies is not None:
        figures["calibration_images_by_copies"] = calibration.by_copies
    if calibration.asked is None:
        return figures
    needed = images_needed(calibration.asked)
    return figures | {
        "asked_false_alarm_rate": calibration.asked,
        "calibration_images_needed": needed,
        "photographs_needed": math.ceil(needed * photographs / promised.images),
    }


def compared(figures: Figures) -> dict[str, float]:
    """Pick the figures in `COMPARED`, rounded to 4 decimals; one that cannot be computed is left out.

    Args:
        figures: All figures of a category, as metrics.json holds them.
    """
    found = {name: figures.get(stored) for name, stored in COMPARED.items()}
    return {name: round(value, DECIMALS) for name, value in found.items() if isinstance(value, float)}


def absent(prefix: str, reason: str) -> Figures:
    """Return the pixel figures as None, with the reason why they do not exist."""
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
