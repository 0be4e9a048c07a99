"""Blend a normal image with an anomaly: DiffusionAD (arXiv:2303.08730), eq. (12)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from diffusionad.data.ranges import PositiveRange, UnitRange
from diffusionad.section import Section
from diffusionad.synthesis.appearance import AppearanceConfig, draw_appearance
from diffusionad.synthesis.masks import MasksConfig, draw_mask
from diffusionad.synthesis.seamless import seamless_blend
from diffusionad.synthesis.textures import Textures, TexturesConfig


class SynthesisConfig(Section):
    """The settings of a synthetic anomaly: part `anomalies` of section `synthesis`, and `settings.json`."""

    opacity: UnitRange = Field(description="beta of eq. (12): weight of the normal image inside the mask")
    soft_edge_probability: float = Field(
        ge=0,
        le=1,
        description="probability that an anomaly fades in from its border; else the border is sharp, as in the paper",
    )
    soft_edge_fraction: PositiveRange = Field(
        description="width of the fade, as a fraction of the image's shorter side"
    )
    seamless_probability: float = Field(
        ge=0,
        le=1,
        description="probability that a pasted appearance is blended by gradients (`seamless`); 0 in the paper",
    )
    masks: MasksConfig
    appearance: AppearanceConfig
    textures: TexturesConfig


class Synthetic(NamedTuple):
    """One synthetic anomaly."""

    image: NDArray[np.float32]
    """S of eq. (12) in [0, 1], shape (H, W, 3)."""
    mask: NDArray[np.bool_]
    """M of eq. (12), shape (H, W), never empty."""


def draw_anomaly(
    config: SynthesisConfig,
    normal: NDArray[np.float32],
    foreground: NDArray[np.bool_],
    textures: Textures,
    rng: np.random.Generator,
) -> Synthetic:
    """Put one anomaly into a normal image.

    Args:
        config: Settings of the anomaly.
        normal: N of eq. (12): RGB float32 in [0, 1], shape (H, W, 3). Outside the mask it is returned bit for bit.
        foreground: Where the anomaly may lie, bool, shape (H, W).
        textures: Foreign textures of the image's size.
        rng: Source of all draws (`diffusionad.synthesis.draws.item_generator`).

    Raises:
        ValueError: If the foreground is empty, or the shapes differ.
    """
    shapes = {"normal": normal.shape, "foreground": (*foreground.shape, 3), "textures": (*textures.size, 3)}
    if len(set(shapes.values())) > 1:
        raise ValueError(f"normal, foreground and textures must have one size; got {shapes}")
    mask = draw_mask(config.masks, foreground, rng)
    appearance, is_pasted = draw_appearance(config.appearance, normal, textures, rng)
    opacity = rng.uniform(*config.opacity)
    if rng.random() < config.soft_edge_probability:
        width_px = rng.uniform(*config.soft_edge_fraction) * min(mask.shape)
        appearance = _faded(normal, mask, appearance, width_px)
    # The last draw, and for pasted ones only: seamless blending would undo a change of brightness or colour.
    if is_pasted and rng.random() < config.seamless_probability:
        appearance = seamless_blend(normal, mask, appearance)
    return Synthetic(blend_anomaly(normal, mask, appearance, opacity), mask)


def blend_anomaly(
    normal: NDArray[np.float32], mask: NDArray[np.bool_], appearance: NDArray[np.float32], opacity: float
) -> NDArray[np.float32]:
    """Compute S = (1 - M) N + (1 - beta) M A + beta M N, eq. (12).

    Args:
        normal: N, float32, shape (H, W, 3).
        mask: M, bool, shape (H, W).
        appearance: A, float32, shape (H, W, 3).
        opacity: beta in [0, 1]; 1 leaves the image as it is.

    Returns:
        S, float32, shape (H, W, 3).
    """
    beta = np.float32(opacity)
    inside = (1 - beta) * appearance + beta * normal
    return np.where(mask[..., None], inside, normal)


def _faded(
    normal: NDArray[np.float32], mask: NDArray[np.bool_], appearance: NDArray[np.float32], width_px: float
) -> NDArray[np.float32]:
    """Fade the appearance in over the first `width_px` pixels inside the mask's border.

    A network that sees only sharp borders learns to look for borders.
    """
    inside = ndimage.distance_transform_edt(mask)
    share = np.minimum(inside / max(width_px, 1), 1).astype(np.float32)[..., None]
    return np.asarray(normal + share * (appearance - normal))
