"""A threshold that falls through the scores of a test set, and the figures computed along its way.

An item is an image or a pixel, and either normal or anomalous. A threshold flags every item whose score is at or
above it. AUROC, average precision, F1 and the per-region overlap (`diffusionad.metrics.pro`) are all sums over the
steps of one `Sweep`, so that one sort serves all of them, for the test set itself and for its bootstrap resamples.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


class Sweep(NamedTuple):
    """The items that a falling threshold flags, step by step from the highest score down.

    One step per distinct score of an anomalous item is enough: normal items between two steps move a curve only
    sideways. Shapes: D steps; leading axes, if any, are resamples. Counts are float64, exact up to 2^53.
    """

    scores: Floats
    """The score of each step, falling, shape (D,); of a step that merges several scores, the lowest."""
    hits: Floats
    """Anomalous items flagged at the step, shape (..., D)."""
    weights: Floats
    """Sum of 1/|region| over the items of `hits`, shape (..., D)."""
    false_before: Floats
    """Normal items flagged before the step: with a score strictly above its own, shape (..., D)."""
    false_after: Floats
    """Normal items flagged after the step: with a score at or above its own, shape (..., D)."""
    normals: Floats
    """N, all normal items, shape (..., 1)."""
    regions: Floats
    """K, all anomalous regions, shape (..., 1)."""
    merged: NDArray[np.bool_]
    """Whether the step merges several scores (a bin of a histogram), shape (D,)."""


def sweep(
    normal: NDArray[np.floating], anomalous: NDArray[np.floating], weights: NDArray[np.floating], regions: int
) -> Sweep:
    """Rank the scores of all items, including ties.

    Args:
        normal: Scores of the normal items, any finite numbers, higher = more anomalous, shape (N,).
        anomalous: Scores of the anomalous items, shape (P,).
        weights: 1/|region| of each anomalous item, shape (P,).
        regions: K, the number of regions.

    Raises:
        ValueError: If there is no normal or no anomalous item.
    """
    if normal.size == 0 or anomalous.size == 0:
        missing = "anomalous" if anomalous.size == 0 else "normal"
        raise ValueError(
            f"undefined: there is nothing {missing} to rank ({normal.size} normal, {anomalous.size} anomalous)"
        )
    ordered = np.sort(normal)
    scores, step = np.unique(anomalous, return_inverse=True)
    return Sweep(
        scores=_falling(scores),
        hits=_falling(np.bincount(step)),
        weights=_falling(np.bincount(step, weights=weights)),
        false_before=_falling(normal.size - np.searchsorted(ordered, scores, side="right")),
        false_after=_falling(normal.size - np.searchsorted(ordered, scores, side="left")),
        normals=np.array([normal.size], dtype=np.float64),
        regions=np.array([regions], dtype=np.float64),
        merged=np.zeros(scores.size, dtype=np.bool_),
    )


def sweep_bins(
    scores: Floats, normal: Floats, hits: Floats, weights: Floats, regions: Floats, merged: NDArray[np.bool_]
) -> Sweep:
    """Make a sweep from counts per bin.

    Unlike `sweep`, it accepts bins without anomalous items and resamples in which one kind is missing.

    Args:
        scores: Lowest score of each bin, falling, shape (D,).
        normal: Normal items in each bin, shape (..., D).
        hits: Anomalous items in each bin, shape (..., D).
        weights: Sum of 1/|region| over the anomalous items in each bin, shape (..., D).
        regions: K, all anomalous regions, shape (..., 1).
        merged: Whether the bin holds several scores, shape (D,).
    """
    flagged = np.cumsum(normal, axis=-1)
    return Sweep(scores, hits, weights, flagged - normal, flagged, flagged[..., -1:], regions, merged)


def auroc(steps: Sweep) -> Floats:
    """Compute the area under the ROC curve: the chance that an anomalous item outranks a normal one; ties count half.

    Returns:
        Figures in [0, 1], shape (...); NaN for a resample without normal or without anomalous items.
    """
    pairs_lost = (steps.hits * (steps.false_before + steps.false_after) / 2).sum(axis=-1)
    return 1 - ratio(pairs_lost, steps.hits.sum(axis=-1) * steps.normals[..., 0])


def average_precision(steps: Sweep) -> Floats:
    """Compute the mean precision over the anomalous items, each at its own score.

    This is the step-wise sum of scikit-learn, not the trapezoid, which flatters a detector with few distinct scores.
    In a step that merges several scores, the precision is taken at its middle.

    Returns:
        Figures in [0, 1], shape (...); NaN for a resample without anomalous items.
    """
    part = np.where(steps.merged, 0.5, 1.0)
    true = np.cumsum(steps.hits, axis=-1) - (1 - part) * steps.hits
    false = steps.false_before + part * (steps.false_after - steps.false_before)
    return ratio((steps.hits * ratio(true, true + false, empty=0)).sum(axis=-1), steps.hits.sum(axis=-1))


def f1(steps: Sweep) -> Floats:
    """Compute F1 = 2 TP / (P + TP + FP) after each step, shape (..., D); its maximum is the best F1."""
    true = np.cumsum(steps.hits, axis=-1)
    return ratio(2 * true, true[..., -1:] + true + steps.false_after, empty=0)


def ratio(numerator: Floats, denominator: Floats, *, empty: float = np.nan) -> Floats:
    """Divide arrays of shapes that broadcast; the result is `empty` where the denominator is 0."""
    out = np.full(np.broadcast_shapes(numerator.shape, denominator.shape), empty, dtype=np.float64)
    return np.divide(numerator, denominator, out=out, where=denominator != 0)


def _falling(rising: ArrayLike) -> Floats:
    return np.asarray(rising, dtype=np.float64)[::-1]
