"""Masks, families 3 and 4: plain shapes and round blobs, for stains, missing parts and cut-off ends."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from diffusionad.data.ranges import PositiveRange, UnitRange
from diffusionad.section import Section


class ShapesConfig(Section):
    """Part `masks.shapes` of the synthesis settings."""

    side_fraction: PositiveRange = Field(
        description="each side of a rectangle or ellipse, as a fraction of the image's shorter side"
    )
    rotation_deg: float = Field(ge=0, le=90, description="largest rotation of rectangles and ellipses, to either side")
    cut_fraction: UnitRange = Field(description="depth of a cut, as a fraction of the foreground's extent across it")


def shape_mask(config: ShapesConfig, foreground: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw a rectangle, an ellipse (both about a random foreground pixel) or a cut (all beyond a line), equally likely.

    Args:
        config: Settings of the family.
        foreground: Where anomalies may lie, bool, shape (H, W), not empty.
        rng: Source of the draws.

    Returns:
        The mask inside the foreground, bool, shape (H, W), not empty.
    """
    kind = rng.integers(3)
    if kind == 0:
        return _cut(config, foreground, rng)
    rows, columns = np.nonzero(foreground)
    pick = rng.integers(len(rows))
    half = rng.uniform(*config.side_fraction, size=2) * min(foreground.shape) / 2
    angle = np.deg2rad(rng.uniform(-config.rotation_deg, config.rotation_deg))
    y, x = rows - rows[pick], columns - columns[pick]
    u = (x * np.cos(angle) + y * np.sin(angle)) / max(half[0], 0.5)
    v = (y * np.cos(angle) - x * np.sin(angle)) / max(half[1], 0.5)
    mask = np.zeros_like(foreground)
    mask[rows, columns] = (np.maximum(np.abs(u), np.abs(v)) <= 1) if kind == 1 else (u**2 + v**2 <= 1)
    return mask


class BlobsConfig(Section):
    """Part `masks.blobs` of the synthesis settings."""

    radius_fraction: PositiveRange = Field(description="mean radius, as a fraction of the image's shorter side")
    waves: int = Field(ge=1, description="number of waves along the outline, with 2 to `waves` + 1 periods per turn")
    unevenness: float = Field(
        ge=0, lt=1, description="largest deviation of the outline from a circle, as a fraction of its radius"
    )


def blob_mask(config: BlobsConfig, foreground: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw a blob about a random foreground pixel: a circle whose radius is a sum of waves, so its outline is smooth.

    Args:
        config: Settings of the family.
        foreground: Where anomalies may lie, bool, shape (H, W), not empty.
        rng: Source of the draws.

    Returns:
        The mask inside the foreground, bool, shape (H, W), not empty.
    """
    rows, columns = np.nonzero(foreground)
    pick = rng.integers(len(rows))
    y, x = rows - rows[pick], columns - columns[pick]
    turns = np.arange(2, config.waves + 2)
    heights = rng.dirichlet(np.ones(config.waves)) * config.unevenness  # their sum stays below the radius
    phases = rng.uniform(0, 2 * np.pi, config.waves)
    outline = 1 + (heights * np.cos(np.arctan2(y, x)[:, None] * turns + phases)).sum(axis=1)
    radius_px = rng.uniform(*config.radius_fraction) * min(foreground.shape)
    mask = np.zeros_like(foreground)
    mask[rows, columns] = np.hypot(y, x) <= radius_px * outline
    return mask


def _cut(config: ShapesConfig, foreground: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    rows, columns = np.nonzero(foreground)
    angle = rng.uniform(0, 2 * np.pi)
    depth = columns * np.cos(angle) + rows * np.sin(angle)
    limit = depth.max() - rng.uniform(*config.cut_fraction) * (depth.max() - depth.min())
    mask = np.zeros_like(foreground)
    mask[rows, columns] = depth >= limit
    return mask
