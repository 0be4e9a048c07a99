"""Credibility: how likely a mask shows an object on a background, judged by the picture alone."""

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

SMOOTHING_PX = 1.5
SHARP_PERCENTILE = 95
FRAME_PX = 2


def credibility(colours: NDArray[np.float64], mask: NDArray[np.bool_]) -> float:
    """Return the product of three shares: of colour variance explained, of outline on edges, of frame left free.

    The first two reject textures: cut at a threshold, the two parts of a texture differ little compared with the
    variation in each (even the best cut of a bell curve explains 0.64, and the tidied pieces far less), and the edges
    along their outline are no stronger than elsewhere.

    Args:
        colours: The result of `diffusionad.foreground.colours.colours`, shape (H, W, 3).
        mask: The object, bool, shape (H, W).

    Returns:
        A number in [0, 1]; 0 if the mask is empty or full.
    """
    if not mask.any() or mask.all():
        return 0.0
    border = np.ones(mask.shape, dtype=bool)
    border[FRAME_PX:-FRAME_PX, FRAME_PX:-FRAME_PX] = False
    return float(_explained(colours, mask) * _sharpness(colours, mask, ~border) * (1 - mask[border].mean()))


def _explained(colours: NDArray[np.float64], mask: NDArray[np.bool_]) -> float:
    """Return the share of the colours' variance between object and background: Otsu's criterion in three channels."""
    total = _scatter(colours.reshape(-1, 3))
    return 1 - (_scatter(colours[mask]) + _scatter(colours[~mask])) / total if total > 0 else 0.0


def _scatter(pixels: NDArray[np.float64]) -> float:
    return float(((pixels - pixels.mean(axis=0)) ** 2).sum())


def _sharpness(colours: NDArray[np.float64], mask: NDArray[np.bool_], inner: NDArray[np.bool_]) -> float:
    """Return the mean strength of the edges along the outline, where 1 is that of the picture's sharpest twentieth."""
    smooth = ndimage.gaussian_filter(colours, SMOOTHING_PX, axes=(0, 1))
    strength = np.sqrt(sum((np.gradient(smooth, axis=axis) ** 2).sum(axis=2) for axis in (0, 1)))
    outline = mask & ~ndimage.binary_erosion(mask, border_value=1) & inner
    sharp = np.percentile(strength, SHARP_PERCENTILE)
    if not outline.any() or sharp == 0:
        return 0.0
    # The outline may miss the edge by a pixel.
    return float(np.minimum(ndimage.maximum_filter(strength, 3)[outline] / sharp, 1).mean())
