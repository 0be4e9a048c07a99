"""Masks, family 1: irregular blobs from Perlin noise, as in DiffusionAD, DRAEM and MemSeg."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from diffusionad.data.ranges import Range
from diffusionad.section import Section


class PerlinConfig(Section):
    """Part `masks.perlin` of the synthesis settings."""

    max_exponent: int = Field(ge=0, le=10, description="cells are 2^i by 2^j with i, j uniform in 0..max_exponent")
    min_cell_px: int = Field(ge=2, description="smallest side of a cell, px; small images get fewer cells")
    rotation_deg: Range = Field(description="the noise is rotated about the centre by an angle in this range")
    threshold: float = Field(ge=0, lt=1, description="noise above it is anomalous")
    max_tries: int = Field(ge=1, description="draws of the noise before giving up")


def perlin_mask(
    config: PerlinConfig, foreground: NDArray[np.bool_], rng: np.random.Generator
) -> NDArray[np.bool_] | None:
    """Draw a mask of thresholded Perlin noise inside the foreground.

    The number of cells and the angle are drawn once, the noise up to `max_tries` times. The noise is evaluated at
    the foreground's pixels only, at rotated coordinates, so that nothing is resampled.

    Args:
        config: Settings of the noise.
        foreground: Where anomalies may lie, bool, shape (H, W).
        rng: Source of the draws.

    Returns:
        The mask, bool, shape (H, W), not empty; None if every try was empty, which happens with coarse noise on a small
        foreground.

    Deviation: the authors draw a new angle at each try and rotate the image of the noise with interpolation.
    """
    size = (foreground.shape[0], foreground.shape[1])
    cells = (_draw_cells(config, size[0], rng), _draw_cells(config, size[1], rng))
    where = np.nonzero(foreground)
    points = rotate_points(np.asarray(where, dtype=np.float32), size, rng.uniform(*config.rotation_deg))
    for _ in range(config.max_tries):
        hit = perlin_noise(points, size, cells, rng) > config.threshold
        if hit.any():
            mask = np.zeros(size, dtype=bool)
            mask[where] = hit
            return mask
    return None


def _draw_cells(config: PerlinConfig, length: int, rng: np.random.Generator) -> int:
    most = max(int(np.log2(max(length // config.min_cell_px, 1))), 0)
    return int(2 ** rng.integers(0, min(config.max_exponent, most), endpoint=True))


def rotate_points(points: NDArray[np.float32], size: tuple[int, int], angle_deg: float) -> NDArray[np.float32]:
    """Rotate points about the centre of an image.

    Args:
        points: Rows and columns in pixels, shape (2, N).
        size: Height and width of the image in pixels.
        angle_deg: Angle of the rotation, degrees.

    Returns:
        Rows and columns in pixels, shape (2, N).
    """
    cos, sin = np.cos(np.deg2rad(angle_deg)), np.sin(np.deg2rad(angle_deg))
    centre = (np.asarray(size, dtype=np.float32)[:, None] - 1) / 2
    turn = np.asarray([[cos, -sin], [sin, cos]], dtype=np.float32)
    return np.asarray(turn @ (points - centre) + centre)


def perlin_noise(
    points: NDArray[np.float32], size: tuple[int, int], cells: tuple[int, int], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Evaluate one octave of Perlin noise, scaled by sqrt(2), at points of an image.

    Args:
        points: Rows and columns in pixels, shape (2, N).
        size: Height and width of the image in pixels.
        cells: Lattice cells along height and width.
        rng: Source of the unit gradients at the lattice points.

    Returns:
        Noise in [-1, 1], shape (N,); 0 at points outside the image.
    """
    angles = rng.uniform(0, 2 * np.pi, (cells[0] + 1, cells[1] + 1)).astype(np.float32)
    gradients = np.stack([np.sin(angles), np.cos(angles)]).reshape(2, -1)
    y, x = points[0] * np.float32(cells[0] / size[0]), points[1] * np.float32(cells[1] / size[1])
    inside = (points[0] >= 0) & (points[0] <= size[0] - 1) & (points[1] >= 0) & (points[1] <= size[1] - 1)
    row = np.clip(y.astype(np.int64), 0, cells[0] - 1)
    column = np.clip(x.astype(np.int64), 0, cells[1] - 1)
    y, x = y - row.astype(np.float32), x - column.astype(np.float32)  # place within the cell, [0, 1) inside the image
    corner = row * (cells[1] + 1) + column

    def ramp(down: int, right: int) -> NDArray[np.float32]:
        at = corner + (down * (cells[1] + 1) + right)
        return np.asarray(gradients[0][at] * (y - down) + gradients[1][at] * (x - right))

    fade_x = _fade(x)
    top = _mix(ramp(0, 0), ramp(0, 1), fade_x)
    bottom = _mix(ramp(1, 0), ramp(1, 1), fade_x)
    return np.where(inside, np.float32(np.sqrt(2)) * _mix(top, bottom, _fade(y)), np.float32(0))


def _mix(a: NDArray[np.float32], b: NDArray[np.float32], part: NDArray[np.float32]) -> NDArray[np.float32]:
    return a + part * (b - a)


def _fade(t: NDArray[np.float32]) -> NDArray[np.float32]:
    return t * t * t * (t * (t * 6 - 15) + 10)
