"""Count all pixels of a data set over the 65,536 values of float16: in one pass, without a sort, in constant memory.

For maps stored as float16, as by stage `evaluate`, every figure is exact. Other maps are rounded to float16, which
makes nearly equal scores tie; `tie_bounds` bounds each figure over all ways to break these ties.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffusionad.metrics.pixels import Maps, Masks, split_pixels
from diffusionad.metrics.pro import pro
from diffusionad.metrics.sweep import Floats, Sweep, auroc, average_precision, f1

VALUES = 2**16
SIGN = np.uint16(0x8000)


class Tally(NamedTuple):
    """Counts over the codes of `codes`, which rise with the score."""

    normal: NDArray[np.int64]
    """Normal pixels of each code, shape (65536,)."""
    hits: NDArray[np.int64]
    """Anomalous pixels of each code, shape (65536,)."""
    weights: Floats
    """Sum of 1/|region| over the anomalous pixels of each code, shape (65536,)."""
    regions: int
    """Number of anomalous regions."""


class FigureBounds(NamedTuple):
    """The lowest and highest value of a figure over all ways to break ties."""

    low: float
    high: float


class TieBounds(NamedTuple):
    """Bounds of the pixel-level figures of the unrounded scores."""

    auroc: FigureBounds
    ap: FigureBounds
    pro: FigureBounds
    f1: FigureBounds


def codes(scores: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Number the values of float16 from the lowest to the highest; -0 counts as 0.

    Args:
        scores: Finite numbers, any shape; rounded to float16.

    Returns:
        Codes in 0 .. 65535, rising with the score, in the shape of `scores`.

    Raises:
        ValueError: If a score is beyond the range of float16, 65504.

    Example:
        >>> codes(np.array([-2.0, -0.0, 0.0, 3.0])).tolist()
        [16383, 32768, 32768, 49664]
    """
    with np.errstate(over="ignore"):
        small = scores.astype(np.float16) + np.float16(0)
    if not np.isfinite(small).all():
        raise ValueError("expected scores within 65504 of 0, the range of float16; pass logits or probabilities")
    bits = small.view(np.uint16)
    return np.where(bits & SIGN, ~bits, bits | SIGN)


def values(numbers: NDArray[np.integer]) -> Floats:
    """Return the scores of codes: the inverse of `codes`.

    Args:
        numbers: Codes in 0 .. 65535, any shape.

    Returns:
        Scores, float64, in the shape of `numbers`.
    """
    bits = numbers.astype(np.uint16)
    return np.where(bits & SIGN, bits ^ SIGN, ~bits).astype(np.uint16).view(np.float16).astype(np.float64)


def tally(maps: Maps, masks: Masks) -> Tally:
    """Count the pixels of all images; one image is in memory at a time.

    Args:
        maps: Anomaly maps, shape (H, W) each.
        masks: Masks of the maps, bool, shape (H, W) each.

    Raises:
        ValueError: Same as `split_pixels`, or if a score is beyond the range of float16.
    """
    normal, hits = np.zeros(VALUES, np.int64), np.zeros(VALUES, np.int64)
    weights, regions = np.zeros(VALUES), 0
    for image in split_pixels(maps, masks):
        normal += np.bincount(codes(image.normal), minlength=VALUES)
        if image.regions:
            inside = codes(image.anomalous)
            hits += np.bincount(inside, minlength=VALUES)
            weights += np.bincount(inside, weights=image.weights, minlength=VALUES)
        regions += image.regions
    return Tally(normal, hits, weights, regions)


def merge(first: Tally, second: Tally) -> Tally:
    """Add the counts of two sets of images: the tally of all of them."""
    return Tally(
        first.normal + second.normal,
        first.hits + second.hits,
        first.weights + second.weights,
        first.regions + second.regions,
    )


def sweep_tally(counts: Tally) -> Sweep:
    """Rank the counted pixels, with the same result as `sweep_pixels` on the same maps in float16.

    Raises:
        ValueError: If there is no normal or no anomalous pixel.
    """
    if counts.normal.sum() == 0 or counts.hits.sum() == 0:
        missing = "anomalous" if counts.hits.sum() == 0 else "normal"
        raise ValueError(
            f"undefined: there is nothing {missing} to rank ({counts.normal.sum()} normal, "
            f"{counts.hits.sum()} anomalous)"
        )
    steps = np.flatnonzero(counts.hits)[::-1]
    at_or_above = np.cumsum(counts.normal[::-1])[::-1].astype(np.float64)
    return Sweep(
        scores=values(steps),
        hits=counts.hits[steps].astype(np.float64),
        weights=counts.weights[steps],
        false_before=at_or_above[steps] - counts.normal[steps],
        false_after=at_or_above[steps],
        normals=np.array([counts.normal.sum()], dtype=np.float64),
        regions=np.array([counts.regions], dtype=np.float64),
        merged=np.zeros(steps.size, dtype=np.bool_),
    )


def tie_bounds(steps: Sweep, fpr_limit: float) -> TieBounds:
    """Bound the figures of unrounded scores: in each tie, all anomalous pixels first, or all of them last.

    Args:
        steps: The sweep of the rounded scores.
        fpr_limit: Largest false positive rate of the PRO curve, in (0, 1].
    """
    first = steps._replace(false_after=steps.false_before)
    last = steps._replace(false_before=steps.false_after)
    true_after = np.cumsum(steps.hits)
    # The precision at the first anomalous pixel of a tie is the lowest if the normal ones come before it.
    first_hit = true_after - steps.hits + 1
    ap_low = (steps.hits * first_hit / (first_hit + steps.false_after)).sum() / true_after[-1]
    return TieBounds(
        auroc=FigureBounds(float(auroc(last)), float(auroc(first))),
        ap=FigureBounds(float(ap_low), float(average_precision(first))),
        pro=FigureBounds(float(pro(last, fpr_limit)), float(pro(first, fpr_limit))),
        f1=FigureBounds(float(f1(last).max()), float(f1(first).max())),
    )
