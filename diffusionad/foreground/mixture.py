"""Gaussian mixtures of colours, fitted without randomness: Orchard and Bouman's binary splits, one reassignment.

As in GrabCut (Rother, Kolmogorov and Blake, 2004), a pixel belongs to one component, not to a share of each.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Mixture(NamedTuple):
    """A mixture of K Gaussian components over colours."""

    log_weights: NDArray[np.float64]
    """Logarithms of the weights, shape (K,)."""
    means: NDArray[np.float64]
    """Means, shape (K, 3)."""
    covariances: NDArray[np.float64]
    """Covariances, shape (K, 3, 3)."""


def fit(pixels: NDArray[np.float64], components: int, min_variance: float) -> Mixture:
    """Fit a mixture.

    Args:
        pixels: Colours, shape (N, 3), at least one.
        components: Largest number of components; fewer if the pixels have fewer colours.
        min_variance: Added to each variance, so that a uniform colour is no single point.
    """
    mixture = _estimate(pixels, _split(pixels, components), min_variance)
    return _estimate(pixels, _energies(mixture, pixels).argmin(axis=1), min_variance)


def energy(mixture: Mixture, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the energy of each pixel under its best component: -log(weight * density), up to a constant.

    Args:
        mixture: The mixture.
        pixels: Colours, shape (N, 3).

    Returns:
        Energies, shape (N,); lower fits better.
    """
    return np.asarray(_energies(mixture, pixels).min(axis=1))


def _energies(mixture: Mixture, pixels: NDArray[np.float64]) -> NDArray[np.float64]:
    away = pixels[:, None] - mixture.means  # (N, K, 3)
    distances = np.einsum("nki,kij,nkj->nk", away, np.linalg.inv(mixture.covariances), away)
    logdets = np.linalg.slogdet(mixture.covariances).logabsdet
    return np.asarray(0.5 * distances + 0.5 * logdets - mixture.log_weights)


def _split(pixels: NDArray[np.float64], components: int) -> NDArray[np.intp]:
    """Label the pixels: the part with the largest variance along one axis is cut across that axis, repeatedly."""
    labels = np.zeros(len(pixels), dtype=np.intp)
    for new in range(1, components):
        axes = [_longest_axis(pixels[labels == old]) for old in range(new)]
        widest = int(np.argmax([spread for spread, _ in axes]))
        own = np.flatnonzero(labels == widest)
        along = (pixels[own] - pixels[own].mean(axis=0)) @ axes[widest][1]
        labels[own[along > 0]] = new
    return labels


def _longest_axis(pixels: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
    """Return the total variance along the longest axis, and the axis."""
    if len(pixels) == 0:
        return 0.0, np.zeros(3)
    away = pixels - pixels.mean(axis=0)
    values, vectors = np.linalg.eigh(away.T @ away)
    return float(values[-1]), np.asarray(vectors[:, -1])


def _estimate(pixels: NDArray[np.float64], labels: NDArray[np.intp], min_variance: float) -> Mixture:
    parts = [pixels[labels == label] for label in np.unique(labels)]
    means = np.stack([part.mean(axis=0) for part in parts])
    scatters = [(part - mean).T @ (part - mean) / len(part) for part, mean in zip(parts, means, strict=True)]
    weights = np.asarray([len(part) for part in parts]) / len(pixels)
    return Mixture(np.log(weights), means, np.stack(scatters) + min_variance * np.eye(3))
