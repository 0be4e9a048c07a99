"""The threshold of the verdict: an image is flagged as anomalous if its score is at or above it.

The threshold is chosen on normal images that the model did not learn from; the test set only measures its effect. How
much it promises depends on where the scores of those images come from:

- From the validation set: split-conformal prediction. If new normal images come from the same source, a new one is
  flagged with a chance of at most the rate, in the mean over calibration sets.
- From training images too, each scored by a copy of the model that did not learn from its fold: the idea of the
  jackknife and of cross-validation (Barber et al. 2021, arXiv:1905.02928). If the copies score new images as the final
  model does, the chance is the rate in expectation. Without that assumption, their Theorem 4 for CV+ bounds the chance
  by twice the rate and a term that shrinks with the number of images per fold, for verdicts that the copies themselves
  pass; for verdicts of the final model nothing is proven. It learned from more images than each copy and so tends to
  score normal images lower, which errs to the safe side.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import betabinom

from diffusionad.metrics.ranking import checked_images
from diffusionad.metrics.sweep import Floats


class OperatingPoint(NamedTuple):
    """The effect of a threshold on a test set; a share of nothing is None."""

    threshold: float
    precision: float | None
    """TP / (TP + FP); None if nothing is flagged."""
    recall: float | None
    """TP / (TP + FN); None without anomalous images."""
    f1: float | None
    """2 TP / (2 TP + FP + FN); None if nothing is anomalous and nothing flagged."""
    false_alarm_rate: float | None
    """FP / (FP + TN); None without normal images."""
    true_positives: int
    false_positives: int
    true_negatives: int
    false_negatives: int


class Promise(NamedTuple):
    """What a threshold promises for new normal images."""

    rate: float
    """Expected share of new normal images that are flagged, in (0, 1]."""
    images: int
    """Number of normal images behind it."""
    least: float
    """The lowest rate that so many images can promise, whatever the threshold: 1 / (images + 1)."""
    low: float | None
    """Lower end of the range in which the share of flagged normal test images lies in 95 % of cases; None without test
    images. It covers the chance in both, the calibration images and the test images."""
    high: float | None
    """Upper end of that range."""


def calibrate_threshold(normal_scores: ArrayLike, false_alarm_rate: float) -> float:
    """Find the lowest threshold that flags a new normal image with a chance of at most false_alarm_rate.

    That is a split-conformal quantile: of n scores at most floor(rate (n + 1)) - 1 lie at or above the threshold, and
    the guarantee holds on average over calibration sets if new scores come from the same source; the module says when
    they do. If n is too small for the rate (n + 1 < 1 / rate), the threshold lies just above the highest score and the
    chance is at most 1 / (n + 1).

    Args:
        normal_scores: Scores of normal images that the model did not learn from, shape (n,).
        false_alarm_rate: Largest share of normal images that may be flagged, in [0, 1).

    Returns:
        A number that float32 represents exactly, so that comparing it with a score gives the same result in float32 and
        float64.

    Raises:
        ValueError: If there is no score, one is NaN or infinite, or the rate is outside [0, 1).

    Example:
        >>> round(calibrate_threshold([0.1, 0.2, 0.3, 0.4], 0.4), 6)  # one of the four is flagged, of five two may be
        0.3
    """
    if not 0 <= false_alarm_rate < 1:
        raise ValueError(f"expected false_alarm_rate in [0, 1), got {false_alarm_rate}")
    scores = np.asarray(normal_scores, dtype=np.float64)
    if scores.ndim != 1 or scores.size == 0:
        raise ValueError(f"expected the scores of normal images, got an array of shape {scores.shape}")
    falling = -np.sort(-_finite(scores))
    # 1e-9: 0.29 * 100 is 28.999999999999996
    flagged = max(0, math.floor(false_alarm_rate * (scores.size + 1) + 1e-9) - 1)
    return float(np.nextafter(np.float32(falling[flagged]), np.float32(np.inf)))


def images_needed(false_alarm_rate: float) -> int:
    """Return the smallest number of normal images whose scores can promise a rate: 1 / (n + 1) is at most the rate.

    Args:
        false_alarm_rate: In (0, 1).

    Raises:
        ValueError: If the rate is outside (0, 1).

    Example:
        >>> images_needed(0.05)
        19
    """
    if not 0 < false_alarm_rate < 1:
        raise ValueError(f"expected false_alarm_rate in (0, 1), got {false_alarm_rate}")
    # As `calibrate_threshold` rounds: 1 / 0.05 may be more than 20.
    return max(1, math.ceil((1 - 1e-9) / false_alarm_rate) - 1)


def promise(normal_scores: ArrayLike, threshold: float, test_normal: int) -> Promise:
    """Say what a threshold promises for new normal images, from the scores that it was calibrated on.

    If k of n scores reach the threshold, and it lies just above the next lower one, the chance that a new normal image
    reaches it is distributed as Beta(k + 1, n - k) over calibration sets, whose mean is (k + 1) / (n + 1) (Vovk 2012,
    arXiv:1209.2673). The number of false alarms among m test images is then beta-binomial. Equal scores make the chance
    smaller.

    Args:
        normal_scores: Scores of normal images that the model did not learn from, shape (n,).
        threshold: A number in the units of the scores.
        test_normal: Number m of normal test images.

    Raises:
        ValueError: If there is no score, or one is NaN or infinite.
    """
    scores = np.asarray(normal_scores, dtype=np.float64)
    if scores.ndim != 1 or scores.size == 0:
        raise ValueError(f"expected the scores of normal images, got an array of shape {scores.shape}")
    reach, count = int((_finite(scores) >= threshold).sum()), scores.size
    rate, least = (reach + 1) / (count + 1), 1 / (count + 1)
    if test_normal == 0:
        return Promise(rate, count, least, None, None)
    if reach == count:
        return Promise(rate, count, least, 1.0, 1.0)
    low, high = betabinom(test_normal, reach + 1, count - reach).ppf([0.025, 0.975]) / test_normal
    return Promise(rate, count, least, float(low), float(high))


def operating_point(labels: ArrayLike, scores: ArrayLike, threshold: float) -> OperatingPoint:
    """Count verdicts; an image is flagged if score >= threshold.

    Args:
        labels: 0 or 1, shape (images,).
        scores: Finite numbers, shape (images,).
        threshold: A number in the units of the scores.

    Raises:
        ValueError: If there is no image, shapes differ, a label is neither 0 nor 1, or a score or the threshold is
            NaN or infinite.
    """
    is_anomalous, numbers = checked_images(labels, scores)
    if numbers.size == 0 or not math.isfinite(threshold):
        raise ValueError(f"expected images and a finite threshold, got {numbers.size} images and {threshold}")
    flagged = numbers >= threshold
    true_positives, false_positives = int((flagged & is_anomalous).sum()), int((flagged & ~is_anomalous).sum())
    anomalous, normal = int(is_anomalous.sum()), int((~is_anomalous).sum())
    return OperatingPoint(
        threshold=threshold,
        precision=_share(true_positives, true_positives + false_positives),
        recall=_share(true_positives, anomalous),
        f1=_share(2 * true_positives, true_positives + false_positives + anomalous),
        false_alarm_rate=_share(false_positives, normal),
        true_positives=true_positives,
        false_positives=false_positives,
        true_negatives=normal - false_positives,
        false_negatives=anomalous - true_positives,
    )


def _finite(scores: Floats) -> Floats:
    for index in np.flatnonzero(~np.isfinite(scores)):
        raise ValueError(f"image {index}: expected a finite score, got {scores[index]}")
    return scores


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
