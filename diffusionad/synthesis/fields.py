"""Smooth random fields, for cheap local variation."""

import numpy as np
from numpy.typing import NDArray


def smooth_field(rng: np.random.Generator, size: tuple[int, int], cells: tuple[int, int]) -> NDArray[np.float32]:
    """Draw uniform numbers on a coarse grid and interpolate linearly between them.

    Args:
        rng: Source of the draws.
        size: Height and width in pixels.
        cells: Grid cells along height and width, at least 1 each.

    Returns:
        A field in [0, 1], shape (H, W).
    """
    knots = rng.random((cells[0] + 1, cells[1] + 1), dtype=np.float32)
    return np.asarray(_interpolation(size[0], cells[0]) @ knots @ _interpolation(size[1], cells[1]).T)


def _interpolation(length: int, cells: int) -> NDArray[np.float32]:
    """Return the weights of the knots at each pixel, shape (length, cells + 1); every row sums to 1."""
    position = np.linspace(0, cells, length, dtype=np.float32)[:, None]
    distance = np.abs(position - np.arange(cells + 1, dtype=np.float32))
    return np.asarray(np.maximum(1 - distance, 0), np.float32)
