"""The median of a set of photographs: what they have in common, without what is particular to each."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from diffusionad.foreground.colours import colours
from diffusionad.foreground.threshold import SceneConfig, far_pixels


def median_image(images: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the median of each pixel over the images.

    Args:
        images: RGB in [0, 1], shape (H, W, 3) each, at least one.

    Returns:
        float32, shape (H, W, 3).

    Raises:
        ValueError: If the images differ in size.
    """
    sizes = sorted({image.shape[:2] for image in images})
    if len(sizes) > 1:
        found = ", ".join(f"{width} x {height}" for height, width in sizes)
        raise ValueError(f"`median_background` needs images of one size and view; got {found} px at the working size")
    return np.asarray(np.median(np.stack(images), axis=0), dtype=np.float32)


def unlike_median(scene: SceneConfig, median: NDArray[np.float32], image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Return where an image differs in colour from the median: the object, if objects lie in varying places.

    Args:
        scene: Weight of lightness.
        median: The result of `median_image`, shape (H, W, 3).
        image: RGB in [0, 1], shape (H, W, 3).

    Returns:
        bool, shape (H, W).
    """
    difference = colours(image, scene.lightness) - colours(median, scene.lightness)
    return far_pixels(np.linalg.norm(difference, axis=2))
