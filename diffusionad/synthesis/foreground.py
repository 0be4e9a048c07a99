"""Where not: the part of a normal photograph that shows the object, found without any network.

After the per-class recipes of RealNet: a threshold on grey, closing, opening, the largest pieces.
"""

from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field
from scipy import ndimage
from skimage import filters

from diffusionad.section import Section
from diffusionad.synthesis.ranges import UnitRange

Method = Literal["full", "threshold"]
"""`full`: the whole image, for textures. `threshold`: what differs in brightness from the border, for objects."""


class ForegroundConfig(Section):
    """Section `foreground` of params.yaml: the numbers of method `threshold`."""

    rule: Literal["otsu", "triangle"] = Field(description="how the threshold on grey is chosen")
    working_px: int = Field(ge=16, description="larger images are shrunk until their longer side has this length, px")
    border_px: int = Field(ge=1, description="width of the frame that is taken for background, at the working size")
    closing_px: int = Field(ge=1, description="gaps narrower than this square are closed, at the working size")
    opening_px: int = Field(ge=1, description="pieces narrower than this square are dropped, at the working size")
    piece_fraction: float = Field(ge=0, le=1, description="pieces smaller than this part of the largest are dropped")
    area: UnitRange = Field(description="part of the image that a credible foreground covers")


class Foreground(NamedTuple):
    """Where anomalies may lie."""

    mask: NDArray[np.bool_]
    """Shape (H, W), never empty."""
    fell_back: bool
    """Whether no credible object was found, so that the mask is the whole image."""


def foreground_mask(config: ForegroundConfig, method: Method, image: NDArray[np.float32]) -> Foreground:
    """Find the object on a photograph.

    Args:
        config: The numbers.
        method: How to find it.
        image: RGB in [0, 1], shape (H, W, 3).

    Returns:
        The mask at the image's size; the whole image if the object's area is not credible.
    """
    size = (image.shape[0], image.shape[1])
    if method == "full":
        return Foreground(np.ones(size, dtype=bool), fell_back=False)
    mask = _object(config, _shrunk_grey(image, config.working_px))
    if not config.area[0] <= mask.mean() <= config.area[1] or not mask.any():
        return Foreground(np.ones(size, dtype=bool), fell_back=True)
    grown = Image.fromarray(mask).resize((size[1], size[0]), Image.Resampling.NEAREST)
    return Foreground(np.array(grown), fell_back=False)


def _shrunk_grey(image: NDArray[np.float32], working_px: int) -> NDArray[np.float32]:
    grey = Image.fromarray(image.mean(axis=2))
    grey.thumbnail((working_px, working_px), Image.Resampling.BOX, reducing_gap=None)
    return np.asarray(grey)


def _object(config: ForegroundConfig, grey: NDArray[np.float32]) -> NDArray[np.bool_]:
    if np.ptp(grey) == 0:
        return np.zeros(grey.shape, dtype=bool)
    bright = grey > _threshold(config.rule, grey)
    frame = np.ones(grey.shape, dtype=bool)
    frame[config.border_px : -config.border_px, config.border_px : -config.border_px] = False
    # The border shows background: whichever side of the threshold it is mostly on is not the object.
    mask = ~bright if bright[frame].mean() > 0.5 else bright  # noqa: PLR2004  # a majority
    mask = _erode(_dilate(mask, config.closing_px), config.closing_px)
    mask = _dilate(_erode(mask, config.opening_px), config.opening_px)
    return np.asarray(ndimage.binary_fill_holes(_large_pieces(mask, config.piece_fraction)), dtype=bool)


def _threshold(rule: Literal["otsu", "triangle"], grey: NDArray[np.float32]) -> float:
    # scikit-image annotates some of its functions and not these.
    if rule == "otsu":
        return float(filters.threshold_otsu(grey))  # type: ignore[no-untyped-call]
    return float(filters.threshold_triangle(grey))  # type: ignore[no-untyped-call]


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
