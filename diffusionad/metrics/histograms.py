"""The pixels of each image as counts over common bins of score, so that a resample of images is a weighted sum."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffusionad.metrics.pixels import Maps, Masks, Pixels, split_pixels
from diffusionad.metrics.sweep import Floats, Sweep, sweep_bins
from diffusionad.metrics.tally import Tally, values


class Histograms(NamedTuple):
    """What each of n images adds to each of B bins, the bin of the highest scores first."""

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
    """Count pixels over at most `bins` bins; 16 bytes a bin and image.

    If there are no more distinct scores than bins, each has its own and nothing is lost. Otherwise half of the edges
    are quantiles of the normal and half of the anomalous scores, so that a bin of several scores holds at most about
    2 / bins of either kind, and a score that fills more than one quantile has a bin of its own.

    Raises:
        ValueError: As split_pixels, or if there is no normal or no anomalous pixel, or bins is below 4.
    """
    images = list(split_pixels(maps, masks))
    normal, anomalous = _pool([image.normal for image in images]), _pool([image.anomalous for image in images])
    _check(bins, normal.size, anomalous.size)
    distinct = np.unique(np.concatenate([normal, anomalous]))
    picks = [kind[np.linspace(0, kind.size - 1, bins // 2).astype(np.intp)] for kind in (normal, anomalous)]
    edges = distinct if distinct.size <= bins else _edges(picks)
    return _histograms(iter(images), edges, distinct)


def count_tallied(maps: Maps, masks: Masks, bins: int, counts: Tally) -> Histograms:
    """The same from a second pass over maps that are counted already, one of them in memory at a time.

    Args:
        maps: A collection that can be gone through again; rounded to float16, as the tally rounded them.
        masks: Their masks, bool.
        bins: At most.
        counts: Of these maps.

    Raises:
        ValueError: As count_pixels.
    """
    normal, anomalous = np.flatnonzero(counts.normal), np.flatnonzero(counts.hits)
    _check(bins, normal.size, anomalous.size)
    distinct = values(np.union1d(normal, anomalous))
    kinds = [(values(where), number[where]) for where, number in ((normal, counts.normal), (anomalous, counts.hits))]
    edges = distinct if distinct.size <= bins else _edges([_quantiles(*kind, bins) for kind in kinds])
    return _histograms(split_pixels((one.astype(np.float16) for one in maps), masks), edges, distinct)


def resample(histograms: Histograms, draws: Floats) -> Sweep:
    """Sum the images of each resample, shape (R, B).

    Args:
        histograms: Of n images.
        draws: How often each resample holds each image, shape (R, n).
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
    """Pick the quantiles that the sorted pixels themselves would give."""
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
        # Counts are exact in float32 up to 4096 x 4096 pixels; ten thousand images need not be twice as large.
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
