"""Shrink photographs, and convert them to a colour space whose distances match perception."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import color


def shrunk(image: NDArray[np.float32], longest_px: int) -> NDArray[np.float32]:
    """Shrink an image by area means until its longer side has `longest_px`; a smaller image is returned unchanged.

    Args:
        image: RGB in [0, 1], shape (H, W, 3).
        longest_px: Length of the longer side, px.

    Returns:
        RGB in [0, 1], shape (H', W', 3).
    """
    height, width = image.shape[:2]
    if max(height, width) <= longest_px:
        return image
    scale = longest_px / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    planes = [Image.fromarray(np.ascontiguousarray(plane)) for plane in np.moveaxis(image, 2, 0)]
    return np.stack([np.asarray(plane.resize(size, Image.Resampling.BOX)) for plane in planes], axis=2)


def colours(image: NDArray[np.float32], lightness: float) -> NDArray[np.float64]:
    """Convert to CIELAB and scale the lightness: at a small weight, a shadow has nearly the colour of its ground.

    Args:
        image: RGB in [0, 1], shape (H, W, 3).
        lightness: Weight of L*, above 0. On grey pictures, which have no other channel, it makes no difference.

    Returns:
        L* times `lightness`, a* and b*, shape (H, W, 3).
    """
    lab = color.rgb2lab(np.clip(image, 0, 1).astype(np.float64))
    return np.asarray(lab * [lightness, 1, 1])


def frame_mask(size: tuple[int, int], width_px: int) -> NDArray[np.bool_]:
    """Return the mask of the outermost `width_px` pixels of a picture of `size` = (height, width) pixels."""
    mask = np.ones(size, dtype=bool)
    mask[width_px : size[0] - width_px, width_px : size[1] - width_px] = False
    return mask


def resized(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Resize a mask of shape (H, W) to `size` = (height, width) pixels by nearest neighbour."""
    return np.array(Image.fromarray(mask).resize((size[1], size[0]), Image.Resampling.NEAREST))
