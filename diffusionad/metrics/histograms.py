"""The pixels of each image as counts over common bins of score, so that a resample of images is a weighted sum."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffusionad.metrics.pixels import Maps, Masks, Pixels, split_pixels
from diffusionad.metrics.sweep import Floats, Sweep, sweep_bins


class Histograms(NamedTuple):
    """What each of n images adds to each of B bins, the bin of the highest scores first."""

    scores: Floats
    """Lower edge of each bin, falling, shape (B,)."""
    normal: Floats
    """Normal pixels, shape (n, B)."""
    hits: Floats
    """Anomalous pixels, shape (n, B)."""
    weights: Floats
    """Sum of 1/|region| over the anomalous pixels, shape (n, B)."""
    regions: Floats
    """Anomalous regions, shape (n, 1)."""
    merged: NDArray[np.bool_]
    """Whether the bin holds more than one distinct score, shape (B,)."""


def count_pixels(maps: Maps, masks: Masks, bins: int) -> Histograms:
    """Count pixels over at most `bins` bins; 24 bytes a bin and image.

    If there are no more distinct scores than bins, each has its own and nothing is lost. Otherwise half of the edges
    are quantiles of the normal and half of the anomalous scores, so that a bin of several scores holds at most about
    2 / bins of either kind, and a score that fills more than one quantile has a bin of its own.

    Raises:
        ValueError: As split_pixels, or if there is no normal or no anomalous pixel, or bins is below 4.
    """
    if bins < 4:  # noqa: PLR2004  # two quantiles of each kind
        raise ValueError(f"expected at least 4 bins, got {bins}")
    images = list(split_pixels(maps, masks))
    normal, anomalous = _pool([image.normal for image in images]), _pool([image.anomalous for image in images])
    if normal.size == 0 or anomalous.size == 0:
        raise ValueError(
            f"undefined: expected pixels of both kinds, got {normal.size} normal, {anomalous.size} anomalous"
        )
    distinct = np.unique(np.concatenate([normal, anomalous]))
    edges = distinct if distinct.size <= bins else _edges(normal, anomalous, bins)
    held = np.diff(np.searchsorted(distinct, edges), append=distinct.size)
    counts = np.stack([_count(image, edges) for image in images])[..., ::-1]  # (n, 3, B)
    return Histograms(
        scores=edges[::-1].astype(np.float64),
        normal=np.ascontiguousarray(counts[:, 0]),
        hits=np.ascontiguousarray(counts[:, 1]),
        weights=np.ascontiguousarray(counts[:, 2]),
        regions=np.array([[image.regions] for image in images], dtype=np.float64),
        merged=held[::-1] > 1,
    )


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


def _edges(normal: NDArray[np.floating], anomalous: NDArray[np.floating], bins: int) -> NDArray[np.floating]:
    quantiles = [kind[np.linspace(0, kind.size - 1, bins // 2).astype(np.intp)] for kind in (normal, anomalous)]
    picks, times = np.unique(np.concatenate(quantiles), return_counts=True)
    frequent = picks[times > 1]
    return np.union1d(picks, np.nextafter(frequent, frequent.dtype.type(np.inf)))  # the bin [v, next) holds v alone


def _count(image: Pixels, edges: NDArray[np.floating]) -> Floats:
    normal = np.searchsorted(edges, image.normal, side="right") - 1
    anomalous = np.searchsorted(edges, image.anomalous, side="right") - 1
    counts = np.empty((3, edges.size))
    counts[0] = np.bincount(normal, minlength=edges.size)
    counts[1] = np.bincount(anomalous, minlength=edges.size)
    counts[2] = np.bincount(anomalous, weights=image.weights, minlength=edges.size)
    return counts
