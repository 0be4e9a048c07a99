"""Figures of how well scores rank anomalous above normal items, at the level of images and of pixels.

Labels: 1 or True = anomalous, 0 or False = normal. Scores: any finite numbers, higher = more anomalous; only their
order counts. A figure that cannot be computed for lack of normal or anomalous items is an error, never a number.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diffusionad.metrics.pixels import Maps, Masks, sweep_pixels
from diffusionad.metrics.pro import pro
from diffusionad.metrics.sweep import Floats, Sweep, auroc, average_precision, f1, sweep


class BestF1(NamedTuple):
    """The largest F1 over all thresholds: an upper bound, since the threshold is chosen on the same items."""

    f1: float
    """In [0, 1]."""
    threshold: float
    """Scores at or above it are flagged; the highest one if several are equally good."""


class PixelMetrics(NamedTuple):
    """Pixel-level figures of a test set, each in [0, 1] except the threshold."""

    auroc: float
    """Area under the ROC curve."""
    ap: float
    """Average precision."""
    pro: float
    """Area under the PRO curve up to the limit, divided by the limit."""
    f1: float
    """The best F1, as in `BestF1`."""
    f1_threshold: float
    """The threshold of the best F1, in the units of the maps."""


def image_auroc(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the area under the ROC curve of image scores, in [0, 1]; arguments and errors as in `sweep_images`."""
    return float(auroc(sweep_images(labels, scores)))


def image_ap(labels: ArrayLike, scores: ArrayLike) -> float:
    """Return the average precision of image scores, in [0, 1]; arguments and errors as in `sweep_images`."""
    return float(average_precision(sweep_images(labels, scores)))


def image_f1(labels: ArrayLike, scores: ArrayLike) -> BestF1:
    """Find the best F1 of image scores and its threshold; arguments and errors as in `sweep_images`."""
    return _best_f1(sweep_images(labels, scores))


def pixel_metrics(maps: Maps, masks: Masks, fpr_limit: float) -> PixelMetrics:
    """Compute all pixel-level figures exactly, over every distinct score, with one sort.

    Args:
        maps: Anomaly maps, shape (H, W) each.
        masks: Masks of the maps, bool, shape (H, W) each.
        fpr_limit: Largest false positive rate of the PRO curve, in (0, 1].

    Raises:
        ValueError: Same as `sweep_pixels` and `pro`.

    Example:
        >>> anomaly_map = np.array([[0.1, 0.2], [0.3, 0.9]])
        >>> pixel_metrics([anomaly_map], [anomaly_map > 0.5], 0.3)
        PixelMetrics(auroc=1.0, ap=1.0, pro=1.0, f1=1.0, f1_threshold=0.9)
    """
    steps = sweep_pixels(maps, masks)
    best = _best_f1(steps)
    return PixelMetrics(
        auroc=float(auroc(steps)),
        ap=float(average_precision(steps)),
        pro=float(pro(steps, fpr_limit)),
        f1=best.f1,
        f1_threshold=best.threshold,
    )


def sweep_images(labels: ArrayLike, scores: ArrayLike) -> Sweep:
    """Rank images; each anomalous image counts as one region.

    Args:
        labels: 0 or 1, shape (images,).
        scores: Finite numbers, shape (images,).

    Raises:
        ValueError: If shapes differ, a label is neither 0 nor 1, a score is NaN or infinite (the message gives the
            number of the image), or there is no normal or no anomalous image.
    """
    is_anomalous, numbers = checked_images(labels, scores)
    anomalous = numbers[is_anomalous]
    return sweep(numbers[~is_anomalous], anomalous, np.ones(anomalous.size), anomalous.size)


def checked_images(labels: ArrayLike, scores: ArrayLike) -> tuple[NDArray[np.bool_], Floats]:
    """Return labels as bool and scores as float64, both of shape (images,).

    Raises:
        ValueError: Same as `sweep_images`, except that one class may be missing.
    """
    kinds, numbers = np.asarray(labels), np.asarray(scores, dtype=np.float64)
    if kinds.ndim != 1 or kinds.shape != numbers.shape:
        raise ValueError(f"expected a label and a score per image, got shapes {kinds.shape} and {numbers.shape}")
    for index in np.flatnonzero(~np.isin(kinds, (0, 1))):
        raise ValueError(f"image {index}: expected label 0 (normal) or 1 (anomalous), got {kinds[index]}")
    for index in np.flatnonzero(~np.isfinite(numbers)):
        raise ValueError(f"image {index}: expected a finite score, got {numbers[index]}")
    return kinds.astype(np.bool_), numbers


def _best_f1(steps: Sweep) -> BestF1:
    curve = f1(steps)
    best = int(np.argmax(curve))
    return BestF1(float(curve[best]), float(steps.scores[best]))
