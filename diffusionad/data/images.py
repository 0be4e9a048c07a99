"""Read image files as RGB arrays in [0, 1], and mask files as boolean arrays, at a given size."""

import math
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffusionad.data.decode import load, open_image, read_bytes, to_rgb, upright_size
from diffusionad.data.masks import resize_mask, to_mask

MAX_ENLARGEMENT = 16
"""Largest factor by which inference enlarges a photograph to the model's input; with fewer pixels there is no picture
of a part. Training has its own, stricter bound in the data contract."""

MIN_SIDE_PX = 2
"""A side of one pixel is refused whatever the size of the model's input."""


def fit_photograph(image: Image.Image, size: tuple[int, int], name: str) -> NDArray[np.float32]:
    """Decode a photograph that a model is to judge, the same way as those it was trained on.

    Args:
        image: The result of `open_image`, or any PIL image.
        size: (height, width) of the model's input in pixels.
        name: Name of the photograph, for errors.

    Returns:
        RGB, float32 in [0, 1], shape (*size, 3).

    Raises:
        ValueError: If the data are damaged, a deep image leaves its range, or a side is shorter than the larger of
            MIN_SIDE_PX and the model's side over MAX_ENLARGEMENT.
    """
    height, width = upright_size(image)
    least = tuple(max(MIN_SIDE_PX, math.ceil(side / MAX_ENLARGEMENT)) for side in size)
    if height < least[0] or width < least[1]:
        raise ValueError(
            f"{name}: {width} x {height} px, too small to be judged; expected at least {least[1]} x {least[0]} px "
            f"for a model of {size[1]} x {size[0]} px; send the photograph itself, not a thumbnail"
        )
    return resize_image(to_rgb(load(image, name), name), size)


def read_image(path: Path, size: tuple[int, int] | None) -> NDArray[np.float32]:
    """Read a photograph.

    Args:
        path: PNG, JPEG, BMP, TIFF, WebP, GIF or PPM; any depth, palette, transparency or EXIF rotation.
        size: (height, width) in pixels; None keeps the image's own size.

    Returns:
        RGB, float32 in [0, 1], shape (H, W, 3).

    Raises:
        ValueError: If the file is missing, damaged, not a single image, or too large; the message names it.
    """
    image = to_rgb(load(open_image(read_bytes(path), str(path)), str(path)), str(path))
    return image if size is None else resize_image(image, size)


def read_mask(path: Path, size: tuple[int, int] | None) -> NDArray[np.bool_]:
    """Read a mask.

    Args:
        path: A file in one of the formats of `to_mask`.
        size: (height, width) in pixels; None keeps the mask's own size.

    Returns:
        bool, shape (H, W), True on the defect. A mask with a positive pixel keeps one at any size.

    Raises:
        ValueError: Same as `read_image`.
    """
    mask = to_mask(load(open_image(read_bytes(path), str(path)), str(path)), str(path))
    return mask if size is None else resize_mask(mask, size)


def resize_image(image: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    """Resize each axis on its own: by area means to shrink it, linearly to enlarge it.

    Args:
        image: float32, shape (H, W, C).
        size: (height, width) in pixels.

    Returns:
        float32, shape (*size, C); a constant image stays constant.

    Deviation: the authors' code shrinks linearly without smoothing, which turns fine texture into noise.
    """
    if image.shape[:2] == size:
        return image.copy()
    planes = [_resize_plane(np.ascontiguousarray(plane), size) for plane in np.moveaxis(image, 2, 0)]
    return np.stack(planes, axis=2)


def _resize_plane(plane: NDArray[np.float32], size: tuple[int, int]) -> NDArray[np.float32]:
    height, width = size
    image = Image.fromarray(plane)
    image = image.resize((width, image.height), _filter(image.width, width))
    return np.asarray(image.resize((width, height), _filter(image.height, height)))


def _filter(old: int, new: int) -> Image.Resampling:
    return Image.Resampling.BOX if new <= old else Image.Resampling.BILINEAR
