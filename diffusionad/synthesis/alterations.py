"""Appearance from the image itself: moved (CutPaste), warped, smeared, stained. All keep the look of its material.

Each function takes an RGB image, float32 in [0, 1], shape (H, W, 3), and a source of draws, and returns a new image of
the same kind.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from diffusionad.data.ranges import PositiveRange, UnitRange
from diffusionad.section import Section
from diffusionad.synthesis.fields import smooth_field


class AlterationsConfig(Section):
    """Part `appearance.alterations`. Fractions are of the image's shorter side."""

    shift_fraction: PositiveRange = Field(description="distance that a piece is moved over, along each axis")
    warp_fraction: PositiveRange = Field(description="largest displacement of a warp")
    warp_cells: int = Field(ge=1, description="scale of a warp: grid cells along each side")
    smear_fraction: PositiveRange = Field(description="standard deviation of the blur")
    stain_strength: UnitRange = Field(description="weight of the colour of a stain, where it is strongest")


def move(config: AlterationsConfig, image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Shift the image cyclically (CutPaste, Li et al., arXiv:2104.04015).

    Seen through a plain shape this pastes a patch, through a thin one a scar.
    """
    steps = rng.uniform(*config.shift_fraction, size=2) * min(image.shape[:2]) * rng.choice([-1, 1], size=2)
    return np.asarray(np.roll(image, np.round(steps).astype(int), axis=(0, 1)))


def warp(config: AlterationsConfig, image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Displace the pixels smoothly, as on a bent or dented part."""
    size = (image.shape[0], image.shape[1])
    reach_px = rng.uniform(*config.warp_fraction) * min(size)
    cells = (config.warp_cells, config.warp_cells)
    shifts = [reach_px * (2 * smooth_field(rng, size, cells) - 1) for _ in range(2)]
    places = [grid + shift for grid, shift in zip(np.indices(size), shifts, strict=True)]
    channels = [ndimage.map_coordinates(image[..., c], places, order=1, mode="nearest") for c in range(3)]
    return np.stack(channels, axis=-1).astype(np.float32)


def smear(config: AlterationsConfig, image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Blur the image until its texture is gone, as on a worn, melted or wiped part."""
    sigma = rng.uniform(*config.smear_fraction) * min(image.shape[:2])
    return np.asarray(ndimage.gaussian_filter(image, (sigma, sigma, 0), mode="nearest"), dtype=np.float32)


def stain(config: AlterationsConfig, image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Tint the image unevenly with one colour; its texture remains visible."""
    size = (image.shape[0], image.shape[1])
    strength = np.float32(rng.uniform(*config.stain_strength)) * (0.5 + 0.5 * smooth_field(rng, size, (3, 3)))
    colour = rng.random(3, dtype=np.float32)
    return np.asarray(image + strength[..., None].astype(np.float32) * (colour - image))
