"""Masks, family 2: scratches and cracks, which are too thin for Perlin noise."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from pydantic import Field

from diffusionad.data.ranges import PositiveRange, UnitRange
from diffusionad.section import Section


class ThinConfig(Section):
    """Part `masks.thin` of the synthesis settings. Fractions are of the image's shorter side."""

    crack_probability: float = Field(ge=0, le=1, description="probability of a crack; otherwise a scratch")
    width_fraction: PositiveRange = Field(description="width of the line; at least 1 px is drawn")
    length_fraction: PositiveRange = Field(description="length of the line")
    bend_fraction: UnitRange = Field(
        description="largest deviation of a scratch from a straight line, as a fraction of its length"
    )
    crack_steps: int = Field(ge=1, description="number of straight pieces of a crack")
    crack_turn_deg: float = Field(ge=0, le=180, description="standard deviation of the angle between two pieces")
    max_branches: int = Field(ge=0, description="largest number of branches of a crack; uniform in 0..max_branches")
    branch_turn_deg: PositiveRange = Field(description="angle between a branch and its stem, to either side")


def thin_mask(config: ThinConfig, foreground: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw a scratch or a crack through a random pixel of the foreground.

    Args:
        config: Settings of the family.
        foreground: Where anomalies may lie, bool, shape (H, W), not empty.
        rng: Source of the draws.

    Returns:
        The mask inside the foreground, bool, shape (H, W), not empty.
    """
    rows, columns = np.nonzero(foreground)
    pick = rng.integers(len(rows))
    start = np.asarray([columns[pick], rows[pick]], dtype=float)  # x, y, the order of Pillow
    side = min(foreground.shape)
    width_px = max(1, round(rng.uniform(*config.width_fraction) * side))
    length_px = rng.uniform(*config.length_fraction) * side
    if rng.random() < config.crack_probability:
        lines = _crack(config, start, length_px, rng)
    else:
        lines = [_scratch(config, start, length_px, rng)]
    canvas = Image.new("L", (foreground.shape[1], foreground.shape[0]))
    draw = ImageDraw.Draw(canvas)
    for line in lines:
        draw.line([(float(x), float(y)) for x, y in line], fill=255, width=width_px)
    mask = np.array(canvas) > 0
    mask[rows[pick], columns[pick]] = True
    return mask & foreground


def _direction(angle: float) -> NDArray[np.float64]:
    return np.asarray([np.cos(angle), np.sin(angle)])


def _scratch(
    config: ThinConfig, middle: NDArray[np.float64], length_px: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return points (x, y) of a parabola with the vertex `middle`, shape (N, 2)."""
    angle = rng.uniform(0, np.pi)
    bow_px = rng.choice([-1, 1]) * rng.uniform(*config.bend_fraction) * length_px
    along = np.linspace(-0.5, 0.5, 13)[:, None]
    bow = 4 * along**2 * bow_px * _direction(angle + np.pi / 2)
    return np.asarray(middle + along * length_px * _direction(angle) + bow)


def _crack(
    config: ThinConfig, middle: NDArray[np.float64], length_px: float, rng: np.random.Generator
) -> list[NDArray[np.float64]]:
    """Return the points of the stem around `middle` and of each branch, which starts at a point of the stem."""
    angle = rng.uniform(0, 2 * np.pi)
    stem = _walk(config, middle, angle, length_px, rng)
    stem += middle - stem[len(stem) // 2]
    lines = [stem]
    for _ in range(rng.integers(config.max_branches, endpoint=True)):
        turn = rng.choice([-1, 1]) * np.deg2rad(rng.uniform(*config.branch_turn_deg))
        root = stem[rng.integers(len(stem))]
        lines.append(_walk(config, root, angle + turn, length_px * rng.random(), rng))
    return lines


def _walk(
    config: ThinConfig, start: NDArray[np.float64], angle: float, length_px: float, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return points (x, y) of a random walk of `crack_steps` equal pieces, shape (crack_steps + 1, 2)."""
    angles = angle + np.cumsum(rng.normal(0, np.deg2rad(config.crack_turn_deg), config.crack_steps))
    pieces = length_px / config.crack_steps * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.asarray(start + np.concatenate([np.zeros((1, 2)), np.cumsum(pieces, axis=0)]))
