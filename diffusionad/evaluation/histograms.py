"""Count the pixels of each image over common bins of score, so that a resample of images is a weighted sum."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffusionad.evaluation.tally import Tally, values
from diffusionad.metrics.pixels import Maps, Masks, Pixels, split_pixels
from diffusionad.metrics.sweep import Floats, Sweep, sweep_bins


class Histograms(NamedTuple):
    """Contributions of each of n images to each of B bins, the bin of the highest scores first."""

    scores: Floats
    """Lower edge of each bin, falling, shape (B,)."""
    normal: NDArray[np.float32]
    """Normal pixels, shape (n, B)."""
    hits: NDArray[np.float32]
    """Anomalous pixels, shape (n, B)."""
    weights: Floats
    """Sum of 1/|region| over the anomalous pixels, shape (n, B)."""
    regions: Floats
    """Anomalous regions, shape (n, 1)."""
    merged: NDArray[np.bool_]
    """Whether the bin holds more than one distinct score, shape (B,)."""


def count_pixels(maps: Maps, masks: Masks, bins: int) -> Histograms:
    """Count pixels over at most `bins` bins; this takes 16 bytes per bin and image.

    If there are no more distinct scores than bins, each score has its own bin and nothing is lost. Otherwise half of
    the edges are quantiles of the normal and half of the anomalous scores, so that a bin of several scores holds at
    most about 2 / bins of either kind, and a score that fills more than one quantile has its own bin.

    Args:
        maps: Anomaly maps, shape (H, W) each.
        masks: Masks of the maps, bool, shape (H, W) each.
        bins: Largest number of bins, at least 4.

    Raises:
        ValueError: Same as `split_pixels`, or if there is no normal or no anomalous pixel, or bins is below 4.
    """
    images = list(split_pixels(maps, masks))
    normal, anomalous = _pool([image.normal for image in images]), _pool([image.anomalous for image in images])
    _check(bins, normal.size, anomalous.size)
    distinct = np.unique(np.concatenate([normal, anomalous]))
    picks = [kind[np.linspace(0, kind.size - 1, bins // 2).astype(np.intp)] for kind in (normal, anomalous)]
    edges = distinct if distinct.size <= bins else _edges(picks)
    return _histograms(iter(images), edges, distinct)


def count_tallied(maps: Maps, masks: Masks, bins: int, counts: Tally) -> Histograms:
    """Count pixels as `count_pixels` does, in a second pass over maps of a tally; one map is in memory at a time.

    Args:
        maps: Anomaly maps, shape (H, W) each, the same as in the tally; rounded to float16, as there.
        masks: Masks of the maps, bool, shape (H, W) each.
        bins: Largest number of bins, at least 4.
        counts: The tally of these maps.

    Raises:
        ValueError: Same as `count_pixels`.
    """
    normal, anomalous = np.flatnonzero(counts.normal), np.flatnonzero(counts.hits)
    _check(bins, normal.size, anomalous.size)
    distinct = values(np.union1d(normal, anomalous))
    kinds = [(values(where), number[where]) for where, number in ((normal, counts.normal), (anomalous, counts.hits))]
    edges = distinct if distinct.size <= bins else _edges([_quantiles(*kind, bins) for kind in kinds])
    return _histograms(split_pixels((one.astype(np.float16) for one in maps), masks), edges, distinct)


def resample(histograms: Histograms, draws: Floats) -> Sweep:
    """Sum the histograms of the images of each resample.

    Args:
        histograms: Histograms of n images over B bins.
        draws: Number of times that each resample holds each image, shape (R, n).

    Returns:
        A sweep with a leading axis of resamples: counts of shape (R, B).
    """
    return sweep_bins(
        histograms.scores,
        draws @ histograms.normal,
        draws @ histograms.hits,
        draws @ histograms.weights,
        draws @ histograms.regions,
        histograms.merged,
    )


def _pool(scores: list[NDArray[np.floating]]) -> NDArray[np.floating]:
    return np.sort(np.concatenate(scores)) if scores else np.zeros(0)


def _check(bins: int, normal: int, anomalous: int) -> None:
    if bins < 4:  # noqa: PLR2004  # two quantiles of each kind
        raise ValueError(f"expected at least 4 bins, got {bins}")
    if normal == 0 or anomalous == 0:
        raise ValueError(f"undefined: expected pixels of both kinds, got {normal} normal, {anomalous} anomalous")


def _quantiles(scores: Floats, counts: NDArray[np.int64], bins: int) -> Floats:
    """Return the quantiles of the sorted pixels, from their distinct scores and counts."""
    ranks = np.linspace(0, counts.sum() - 1, bins // 2).astype(np.intp)
    return scores[np.searchsorted(np.cumsum(counts), ranks, side="right")]


def _edges(quantiles: list[NDArray[np.floating]]) -> NDArray[np.floating]:
    picks, times = np.unique(np.concatenate(quantiles), return_counts=True)
    frequent = picks[times > 1]
    return np.union1d(picks, np.nextafter(frequent, frequent.dtype.type(np.inf)))  # the bin [v, next) holds v alone


def _histograms(images: Iterator[Pixels], edges: NDArray[np.floating], distinct: NDArray[np.floating]) -> Histograms:
    normal, hits, weights, regions = [], [], [], []
    for image in images:
        counts = _count(image, edges)[:, ::-1]
        # float32 is exact for counts up to 4096 x 4096 pixels, at half the memory.
        normal.append(counts[0].astype(np.float32))
        hits.append(counts[1].astype(np.float32))
        weights.append(counts[2].copy())
        regions.append([image.regions])
    held = np.diff(np.searchsorted(distinct, edges), append=distinct.size)
    return Histograms(
        scores=edges[::-1].astype(np.float64),
        normal=np.array(normal),
        hits=np.array(hits),
        weights=np.array(weights),
        regions=np.array(regions, dtype=np.float64),
        merged=held[::-1] > 1,
    )


def _count(image: Pixels, edges: NDArray[np.floating]) -> Floats:
    normal = np.searchsorted(edges, image.normal, side="right") - 1
    anomalous = np.searchsorted(edges, image.anomalous, side="right") - 1
    counts = np.empty((3, edges.size))
    counts[0] = np.bincount(normal, minlength=edges.size)
    counts[1] = np.bincount(anomalous, minlength=edges.size)
    counts[2] = np.bincount(anomalous, weights=image.weights, minlength=edges.size)
    return counts
