"""Morphology that turns a ragged mask into one or a few solid pieces, as in RealNet (arXiv:2403.05897)."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from diffusionad.section import Section


class TidyConfig(Section):
    """Part `tidy` of section `foreground`; all lengths in pixels at the working size."""

    closing_px: int = Field(ge=1, description="gaps narrower than this square are closed")
    opening_px: int = Field(ge=1, description="pieces narrower than this square are dropped")
    piece_fraction: float = Field(
        ge=0, le=1, description="pieces smaller than this fraction of the largest are dropped"
    )


def tidied(config: TidyConfig, mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Close gaps, drop thin and small pieces, fill holes.

    Args:
        config: Sizes of gaps and pieces.
        mask: bool, shape (H, W).

    Returns:
        bool, shape (H, W).
    """
    mask = _erode(_dilate(mask, config.closing_px), config.closing_px)
    mask = _dilate(_erode(mask, config.opening_px), config.opening_px)
    return np.asarray(ndimage.binary_fill_holes(_large_pieces(mask, config.piece_fraction)), dtype=bool)


def _large_pieces(mask: NDArray[np.bool_], fraction: float) -> NDArray[np.bool_]:
    pieces, count = ndimage.label(mask)
    if count == 0:
        return mask
    areas = np.bincount(pieces.ravel())
    areas[0] = 0  # the background is no piece
    return np.asarray((areas >= fraction * areas.max())[pieces] & mask)


# Squares as running maxima: their cost does not grow with the side. An even square is off centre by half a pixel,
# so that erosion shifts the other way and the pair leaves a shape where it was.
def _dilate(mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    return np.asarray(ndimage.maximum_filter(mask, side, mode="nearest"))


def _erode(mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    return np.asarray(ndimage.minimum_filter(mask, side, mode="nearest", origin=0 if side % 2 else -1))
