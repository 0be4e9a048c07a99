"""Together: blend a normal image with an anomaly, DiffusionAD (arXiv:2303.08730), eq. (12)."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import ndimage

from diffusionad.section import PositiveRange, Section, UnitRange
from diffusionad.synthesis.appearance import AppearanceConfig, draw_appearance
from diffusionad.synthesis.masks import MasksConfig, draw_mask
from diffusionad.synthesis.seamless import sew
from diffusionad.synthesis.textures import Textures, TexturesConfig


class SynthesisConfig(Section):
    """The settings of a synthetic anomaly: part `anomalies` of section `synthesis`, and `settings.json`."""

    opacity: UnitRange = Field(description="beta of eq. (12): weight of the normal image inside the mask")
    soft_edge_probability: float = Field(
        ge=0, le=1, description="anomalies that fade in from their border; the others end at it sharply, as the paper's"
    )
    soft_edge_fraction: PositiveRange = Field(description="width in which they fade in, of the image's shorter side")
    seamless_probability: float = Field(
        ge=0, le=1, description="pasted appearances that are sewn in by their gradients (`seamless`); 0 as the paper"
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


def synthesize(
    config: SynthesisConfig,
    normal: NDArray[np.float32],
    foreground: NDArray[np.bool_],
    textures: Textures,
    rng: np.random.Generator,
) -> Synthetic:
    """Put one anomaly into a normal image.

    Args:
        config: The settings.
        normal: N of eq. (12): RGB float32 in [0, 1], shape (H, W, 3). Outside the mask it is returned bit for bit.
        foreground: Where the anomaly may lie, shape (H, W).
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
    # The last draw, and of pasted ones alone: sewing leaves nothing of a change of brightness or colour.
    if is_pasted and rng.random() < config.seamless_probability:
        appearance = sew(normal, mask, appearance)
    return Synthetic(blend(normal, mask, appearance, opacity), mask)


def blend(
    normal: NDArray[np.float32], mask: NDArray[np.bool_], appearance: NDArray[np.float32], opacity: float
) -> NDArray[np.float32]:
    """Compute S = (1 - M) N + (1 - beta) M A + beta M N, eq. (12).

    Args:
        normal: N, float32, shape (H, W, 3).
        mask: M, shape (H, W).
        appearance: A, shape (H, W, 3).
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
    """The appearance where it is `width_px` from the mask's border, on the way to the normal image before.

    A network that is shown sharp borders only learns to look for borders.
    """
    inside = ndimage.distance_transform_edt(mask)
    share = np.minimum(inside / max(width_px, 1), 1).astype(np.float32)[..., None]
    return np.asarray(normal + share * (appearance - normal))
