"""Ten photometric and geometric augmenters: those of DRAEM and DiffusionAD, written in numpy.

Each takes an RGB image in [0, 1], shape (H, W, 3), and returns a new image of the same kind.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from diffusionad.data.ranges import LevelRange, PositiveRange, Range, UnitRange
from diffusionad.section import Section

RgbImage = NDArray[np.float32]
"""Values in [0, 1], shape (H, W, 3)."""


class AugmentersConfig(Section):
    """Part `appearance.augmenters` of the synthesis settings: the strength of each augmenter."""

    count: int = Field(ge=0, le=10, description="distinct augmenters applied to one image, in drawn order")
    gamma: PositiveRange = Field(description="exponent, drawn for each channel")
    gain: PositiveRange = Field(description="factor of the brightness")
    shift: Range = Field(description="summand of the brightness")
    sharpness: Range = Field(description="0 smooths, 1 leaves the image as it is, above 1 sharpens")
    hue_deg: Range = Field(description="rotation of the hue")
    saturation: Range = Field(description="factor of the saturation")
    solarize_probability: float = Field(
        ge=0, le=1, description="probability that solarize inverts; otherwise it leaves the image as it is"
    )
    solarize_threshold: UnitRange = Field(description="values above it are inverted")
    posterize_levels: LevelRange = Field(description="levels kept per channel, both ends included")
    autocontrast_cutoff: UnitRange = Field(description="fraction of the pixels clipped at either end")
    rotation_deg: Range = Field(description="rotation about the centre; the image is mirrored at its borders")


def augment(config: AugmentersConfig, image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Apply `count` distinct augmenters, drawn without replacement.

    Args:
        config: Settings of the augmenters.
        image: In [0, 1], shape (H, W, 3).
        rng: Source of the draws.

    Returns:
        In [0, 1], shape (H, W, 3), float32.

    Deviation: hue and saturation rotate and stretch colours about the grey axis, where the authors add to HSV values;
    brightness changes the three channels alike; rotation mirrors the borders, where the authors leave black corners.
    """
    for i in rng.choice(len(AUGMENTERS), config.count, replace=False):
        image = AUGMENTERS[i](config, image, rng)
    return image


def gamma(config: AugmentersConfig, image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Raise each channel to a power."""
    return image ** rng.uniform(*config.gamma, size=3).astype(np.float32)


def brightness(config: AugmentersConfig, image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Multiply by a factor and add a summand."""
    gain, shift = np.float32(rng.uniform(*config.gain)), np.float32(rng.uniform(*config.shift))
    return np.asarray(np.clip(image * gain + shift, 0, 1))


def sharpness(config: AugmentersConfig, image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Move away from, or towards, the image smoothed with [1 1 1; 1 5 1; 1 1 1] / 13."""
    padded = np.pad(image, ((1, 1), (1, 1), (0, 0)), mode="edge")
    rows = padded[:-2] + padded[1:-1] + padded[2:]
    smooth = (rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:] + 4 * image) / np.float32(13)
    factor = np.float32(rng.uniform(*config.sharpness))
    return np.asarray(np.clip(smooth + factor * (image - smooth), 0, 1))


def hue_and_saturation(config: AugmentersConfig, image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Rotate colours about the grey axis and scale their distance to it."""
    angle, saturation = np.deg2rad(rng.uniform(*config.hue_deg)), rng.uniform(*config.saturation)
    grey = np.full((3, 3), 1 / 3)
    cross = np.asarray([[0, -1, 1], [1, 0, -1], [-1, 1, 0]]) / np.sqrt(3)
    turn = np.cos(angle) * (np.eye(3) - grey) + np.sin(angle) * cross  # Rodrigues' formula off the axis (1, 1, 1)
    return np.asarray(np.clip(image @ (grey + saturation * turn).T.astype(np.float32), 0, 1))


def solarize(config: AugmentersConfig, image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Invert the values above a threshold, with a given probability."""
    threshold = rng.uniform(*config.solarize_threshold)
    return np.where(image >= threshold, 1 - image, image) if rng.random() < config.solarize_probability else image


def posterize(config: AugmentersConfig, image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Keep a few levels of each channel."""
    steps = np.float32(rng.integers(*config.posterize_levels, endpoint=True) - 1)
    return np.asarray(np.round(image * steps) / steps)


def invert(_: AugmentersConfig, image: RgbImage, __: np.random.Generator) -> RgbImage:
    """Swap black and white."""
    return 1 - image


def autocontrast(config: AugmentersConfig, image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Stretch each channel to [0, 1] after clipping a fraction of its pixels at both ends."""
    below = _cumulated(_bytes(image))
    cutoff = rng.uniform(*config.autocontrast_cutoff)
    low = np.argmax(below > cutoff, axis=1)
    high = np.argmax(below >= 1 - cutoff, axis=1)
    flat = high <= low
    start = np.where(flat, 0, low / 255).astype(np.float32)
    width = np.where(flat, 1, (high - low) / 255).astype(np.float32)
    return np.asarray(np.clip((image - start) / width, 0, 1))


def equalize(_: AugmentersConfig, image: RgbImage, __: np.random.Generator) -> RgbImage:
    """Flatten the histogram of each channel."""
    values = _bytes(image)
    table = _cumulated(values).astype(np.float32)
    return np.stack([table[c][values[..., c]] for c in range(3)], axis=-1)


def rotate(config: AugmentersConfig, image: RgbImage, rng: np.random.Generator) -> RgbImage:
    """Rotate about the centre by nearest neighbour, with the image mirrored beyond its borders."""
    angle = np.deg2rad(rng.uniform(*config.rotation_deg))
    height, width = image.shape[:2]
    y = np.arange(height)[:, None] - (height - 1) / 2
    x = np.arange(width)[None, :] - (width - 1) / 2
    rows = _mirror(np.cos(angle) * y - np.sin(angle) * x + (height - 1) / 2, height)
    columns = _mirror(np.sin(angle) * y + np.cos(angle) * x + (width - 1) / 2, width)
    return image[rows, columns]


AUGMENTERS: tuple[Callable[[AugmentersConfig, RgbImage, np.random.Generator], RgbImage], ...] = (
    gamma,
    brightness,
    sharpness,
    hue_and_saturation,
    solarize,
    posterize,
    invert,
    autocontrast,
    equalize,
    rotate,
)


def _bytes(image: RgbImage) -> NDArray[np.uint8]:
    return (image * 255 + np.float32(0.5)).astype(np.uint8)


def _cumulated(values: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Return the fraction of pixels at or below each byte, per channel, shape (3, 256)."""
    counts = [np.bincount(values[..., c].ravel(), minlength=256) for c in range(3)]
    return np.asarray(np.cumsum(counts, axis=1) / (values.shape[0] * values.shape[1]))


def _mirror(position: NDArray[np.float64], length: int) -> NDArray[np.intp]:
    index = np.mod(np.round(position).astype(np.intp), 2 * length)
    return np.asarray(np.minimum(index, 2 * length - 1 - index))
