"""Curves and histograms of a test set, reduced to a number of points that a browser can draw."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffusionad.metrics.ranking import checked_images, sweep_images
from diffusionad.metrics.sweep import Floats, Sweep


class Curve(NamedTuple):
    """Points of a polyline, shape (at most `points`,) each."""

    x: Floats
    y: Floats


NO_CURVE = Curve(np.empty(0), np.empty(0))
"""A curve without points, where one cannot be computed."""


class ImageCurves(NamedTuple):
    """The curves of image scores; both are NO_CURVE where a label is missing."""

    roc: Curve
    pr: Curve


class Histogram(NamedTuple):
    """Counts over bins of equal width."""

    edges: Floats
    """Shape (bins + 1,), rising."""
    normal: NDArray[np.int64]
    """Normal items in each bin, shape (bins,)."""
    anomalous: NDArray[np.int64]
    """Anomalous items in each bin, shape (bins,)."""


def image_curves(labels: NDArray[np.int64], scores: NDArray[np.float64], points: int) -> ImageCurves:
    """Return the ROC curve and the precision-recall curve of image scores.

    Args:
        labels: 0 = normal, 1 = anomalous, shape (images,); one of them may be missing.
        scores: Finite numbers, shape (images,).
        points: Largest number of points of a curve, at least 2.

    Raises:
        ValueError: Same as `checked_images`, or if `points` is below 2.
    """
    if not 0 < labels.sum() < len(labels):
        return ImageCurves(NO_CURVE, NO_CURVE)
    steps = sweep_images(labels, scores)
    return ImageCurves(roc_curve(steps, points), pr_curve(steps, points))


def roc_curve(steps: Sweep, points: int) -> Curve:
    """Return the true positive rate (y) over the false positive rate (x), from (0, 0) to (1, 1); a tie is a slope."""
    return _thin(*_rise(steps, np.cumsum(steps.hits) / steps.hits.sum()), points)


def pro_curve(steps: Sweep, fpr_limit: float, points: int) -> Curve:
    """Return the per-region overlap (y) over the false positive rate (x), from 0 to fpr_limit."""
    x, y = _rise(steps, np.cumsum(steps.weights) / steps.regions)
    return _thin(*_cut(x, y, fpr_limit), points)


def pr_curve(steps: Sweep, points: int) -> Curve:
    """Return the precision (y) over the recall (x) at each score of an anomalous item, from the highest down."""
    true = np.cumsum(steps.hits)
    return _thin(true / true[-1], true / (true + steps.false_after), points)


def score_histogram(labels: ArrayLike, scores: ArrayLike, bins: int) -> Histogram:
    """Count image scores over bins of equal width from the lowest to the highest.

    Args:
        labels: 0 or 1, shape (images,); one of them may be missing.
        scores: Finite numbers, shape (images,).
        bins: Number of bins, at least 1.

    Raises:
        ValueError: Same as `checked_images`, or if there is no image.
    """
    is_anomalous, numbers = checked_images(labels, scores)
    if numbers.size == 0:
        raise ValueError("undefined: a histogram of no image")
    edges = np.histogram_bin_edges(numbers, bins)
    return Histogram(
        edges, np.histogram(numbers[~is_anomalous], edges)[0], np.histogram(numbers[is_anomalous], edges)[0]
    )


def _rise(steps: Sweep, height: Floats) -> tuple[Floats, Floats]:
    """Join the steps: flat up to each step, then a straight rise over the normal items tied with it."""
    x = np.stack([steps.false_before, steps.false_after], axis=1).ravel() / steps.normals
    y = np.stack([np.concatenate([[0.0], height[:-1]]), height], axis=1).ravel()
    return np.concatenate([[0.0], x, [1.0]]), np.concatenate([[0.0], y, [1.0]])


def _cut(x: Floats, y: Floats, limit: float) -> tuple[Floats, Floats]:
    kept = int(np.searchsorted(x, limit, side="right"))
    if kept == x.size:
        return x, y
    end = y[kept - 1] + (y[kept] - y[kept - 1]) * (limit - x[kept - 1]) / (x[kept] - x[kept - 1])
    return np.append(x[:kept], limit), np.append(y[:kept], end)


def _thin(x: Floats, y: Floats, points: int) -> Curve:
    """Keep points at even distances along the curve.

    Every other point lies within length / (points - 1) of one that is kept; the length of a curve that only rises is at
    most 2.
    """
    if points < 2:  # noqa: PLR2004  # a curve has two ends
        raise ValueError(f"expected at least 2 points, got {points}")
    if x.size <= points:
        return Curve(x, y)
    length = np.concatenate([[0.0], np.cumsum(np.abs(np.diff(x)) + np.abs(np.diff(y)))])
    kept = np.unique(np.searchsorted(length, np.linspace(0, length[-1], points)))
    return Curve(x[kept], y[kept])
