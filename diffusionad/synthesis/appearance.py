"""The appearance of an anomaly: A of eq. (12)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from diffusionad.data.ranges import UnitRange
from diffusionad.section import Section
from diffusionad.synthesis.alterations import AlterationsConfig, move, smear, stain, warp
from diffusionad.synthesis.augmenters import AugmentersConfig, augment
from diffusionad.synthesis.draws import Weights, weighted_choice
from diffusionad.synthesis.fields import smooth_field
from diffusionad.synthesis.textures import Textures

ALTERATIONS = {"moved": move, "warped": warp, "smeared": smear, "stained": stain}
"""Functions by the name of their weight."""

PASTED = ("texture", "itself", "moved")
"""Sources that replace the content of the image; the others modify it."""


class AppearanceWeights(Weights):
    """How often each source is drawn, relative to the others."""

    texture: float = Field(ge=0, description="a foreign texture, augmented")
    itself: float = Field(ge=0, description="the normal image, augmented and its strips shuffled")
    shade: float = Field(ge=0, description="the normal image, darker or brighter")
    moved: float = Field(ge=0, description="another part of the normal image, as CutPaste")
    warped: float = Field(ge=0, description="the normal image, bent")
    smeared: float = Field(ge=0, description="the normal image, its texture gone")
    stained: float = Field(ge=0, description="the normal image, tinted")


class ShadeConfig(Section):
    """Part `appearance.shade`: cracks and dead areas are mostly a change of brightness."""

    dark_probability: float = Field(ge=0, le=1, description="probability of darker; otherwise brighter")
    strength: UnitRange = Field(description="weight of black or white; 1 replaces the image")
    unevenness: float = Field(ge=0, le=1, description="fraction of the strength that varies over the image")
    cells: int = Field(ge=1, description="scale of that variation: grid cells along each side")


class AppearanceConfig(Section):
    """Part `appearance` of the synthesis settings."""

    weights: AppearanceWeights
    strips: int = Field(ge=2, description="strips along each side that self-augmentation shuffles")
    augmenters: AugmentersConfig
    shade: ShadeConfig
    alterations: AlterationsConfig


class Appearance(NamedTuple):
    """The appearance of an anomaly."""

    image: NDArray[np.float32]
    """A of eq. (12), in [0, 1], shape (H, W, 3)."""
    is_pasted: bool
    """Whether its source is one of `PASTED`."""


def draw_appearance(
    config: AppearanceConfig, normal: NDArray[np.float32], textures: Textures, rng: np.random.Generator
) -> Appearance:
    """Draw the appearance of an anomaly for the whole image; the mask decides later where it shows.

    Args:
        config: Settings of the sources.
        normal: The normal image, RGB float32 in [0, 1], shape (H, W, 3).
        textures: Foreign textures of the same size.
        rng: Source of the draws.

    Deviation: the appearance for a grey image is grey. The authors paste coloured textures even there, which teaches a
    network that colour is the anomaly.
    """
    source = weighted_choice(config.weights, rng)
    if source == "texture":
        appearance = augment(config.augmenters, textures.draw(rng), rng)
    elif source == "itself":
        appearance = shuffle_strips(augment(config.augmenters, normal, rng), config.strips, rng)
    elif source == "shade":
        appearance = shade(config.shade, normal, rng)
    else:
        appearance = ALTERATIONS[source](config.alterations, normal, rng)
    return Appearance(_to_grey(appearance) if _is_grey(normal) else appearance, source in PASTED)


def shuffle_strips(image: NDArray[np.float32], strips: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Shuffle vertical strips, all even ones before all odd ones; then shuffle horizontal strips.

    Every row gets the same order of columns. No pixel is lost or repeated.

    Args:
        image: Shape (H, W, 3).
        strips: Number of strips along each side.
        rng: Source of the draws.

    Returns:
        The same pixels in another order, shape (H, W, 3).
    """
    columns = np.array_split(np.arange(image.shape[1]), strips)
    rows = np.array_split(np.arange(image.shape[0]), strips)
    order = np.concatenate([rng.permutation(np.arange(0, strips, 2)), rng.permutation(np.arange(1, strips, 2))])
    column_index = np.concatenate([columns[i] for i in order])
    row_index = np.concatenate([rows[i] for i in rng.permutation(strips)])
    return np.asarray(image[row_index[:, None], column_index])


def shade(config: ShadeConfig, image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Move the image unevenly towards black or white.

    Args:
        config: Direction, strength and scale.
        image: RGB float32 in [0, 1], shape (H, W, 3).
        rng: Source of the draws.

    Returns:
        float32 in [0, 1], shape (H, W, 3).
    """
    target = np.float32(0 if rng.random() < config.dark_probability else 1)
    size = (image.shape[0], image.shape[1])
    evenness = 1 - np.float32(config.unevenness) * smooth_field(rng, size, (config.cells, config.cells))
    strength = np.float32(rng.uniform(*config.strength)) * evenness[..., None]
    return np.asarray(image + strength * (target - image))


def _is_grey(image: NDArray[np.float32]) -> bool:
    return np.array_equal(image[..., 0], image[..., 1]) and np.array_equal(image[..., 1], image[..., 2])


def _to_grey(image: NDArray[np.float32]) -> NDArray[np.float32]:
    grey: NDArray[np.float32] = image @ np.asarray([0.299, 0.587, 0.114], dtype=np.float32)  # luma, ITU-R BT.601
    return np.repeat(np.minimum(grey, 1)[..., None], 3, axis=2)
