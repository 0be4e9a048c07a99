"""Procedural textures drawn from a seed, for use without a folder of photographs.

Each kind takes a source of draws and (height, width) in pixels, and returns a field of shape (H, W) in [0, 1].
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.spatial import cKDTree

from diffusionad.synthesis.fields import smooth_field

Field = NDArray[np.float32]
"""Values in [0, 1], shape (H, W)."""


def draw_texture(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float32]:
    """Draw one of six kinds of texture, coloured along a random line of three colours.

    Args:
        rng: Source of the draws.
        size: Height and width in pixels.

    Returns:
        float32 in [0, 1], shape (H, W, 3). Scales follow the size, so that a texture looks the same at every size.
    """
    field = KINDS[rng.integers(len(KINDS))](rng, size)
    colours = rng.random((3, 3))
    knots = [0.0, 0.5, 1.0]
    return np.stack([np.interp(field, knots, colours[:, c]) for c in range(3)], axis=-1).astype(np.float32)


def noise(rng: np.random.Generator, size: tuple[int, int]) -> Field:
    """Sum smooth fields of doubling frequency and falling weight."""
    first, octaves, fall = int(rng.integers(1, 5)), int(rng.integers(2, 6)), rng.uniform(0.4, 0.8)
    fields = [smooth_field(rng, size, (first * 2**i, first * 2**i)) * np.float32(fall**i) for i in range(octaves)]
    return _stretch(np.sum(fields, axis=0))


def stripes(rng: np.random.Generator, size: tuple[int, int]) -> Field:
    """Wave in one direction, bent by a smooth field."""
    waves, bend = rng.uniform(2, 16), rng.uniform(0, 2)
    return np.asarray(0.5 + 0.5 * np.sin(2 * np.pi * waves * _ramp(rng, size) + bend * noise(rng, size)), np.float32)


def checker(rng: np.random.Generator, size: tuple[int, int]) -> Field:
    """Alternate two values on a rotated chequerboard."""
    fields, angle = rng.uniform(2, 12), rng.uniform(0, np.pi / 2)
    u, v = _turned(size, angle)
    return np.asarray((np.floor(u * fields) + np.floor(v * fields)) % 2, np.float32)


def cells(rng: np.random.Generator, size: tuple[int, int]) -> Field:
    """Divide the plane into cells around random points: distance to the nearest point, or one value per cell."""
    points = rng.random((int(rng.integers(8, 120)), 2))
    y, x = np.mgrid[0 : size[0], 0 : size[1]]
    distance, owner = cKDTree(points).query(np.stack([y / size[0], x / size[1]], axis=-1).reshape(-1, 2))
    values = distance if rng.random() < 0.5 else rng.random(len(points))[owner]  # noqa: PLR2004  # a fair coin
    return _stretch(np.reshape(values, size))


def gradient(rng: np.random.Generator, size: tuple[int, int]) -> Field:
    """Rise in one direction, with some fine noise."""
    return _stretch(_ramp(rng, size) + rng.uniform(0, 0.2) * rng.random(size))


def speckle(rng: np.random.Generator, size: tuple[int, int]) -> Field:
    """Scatter spots: smoothed white noise, cut at a level."""
    spots = _stretch(ndimage.gaussian_filter(rng.random(size), rng.uniform(0.005, 0.03) * min(size)))
    level = rng.uniform(0.4, 0.7)
    return np.asarray(np.clip((spots - level) * 8 + 0.5, 0, 1), np.float32)


KINDS: tuple[Callable[[np.random.Generator, tuple[int, int]], Field], ...] = (
    noise,
    stripes,
    checker,
    cells,
    gradient,
    speckle,
)


def _turned(size: tuple[int, int], angle: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    y, x = np.arange(size[0])[:, None] / size[0], np.arange(size[1])[None, :] / size[1]
    return x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)


def _ramp(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float64]:
    return _turned(size, rng.uniform(0, np.pi))[0]


def _stretch(values: NDArray[np.floating]) -> Field:
    low, high = values.min(), values.max()
    return np.asarray((values - low) / max(high - low, np.finfo(np.float32).tiny), np.float32)
