"""Draw the mask of an anomaly from one of four families."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from diffusionad.section import Section
from diffusionad.synthesis.draws import Weights, weighted_choice
from diffusionad.synthesis.perlin import PerlinConfig, perlin_mask
from diffusionad.synthesis.shapes import BlobsConfig, ShapesConfig, blob_mask, shape_mask
from diffusionad.synthesis.thin import ThinConfig, thin_mask


class MaskWeights(Weights):
    """How often each family is drawn, relative to the others."""

    perlin: float = Field(ge=0)
    thin: float = Field(ge=0)
    shapes: float = Field(ge=0)
    blobs: float = Field(ge=0)


class MasksConfig(Section):
    """Part `masks` of the synthesis settings."""

    weights: MaskWeights
    perlin: PerlinConfig
    thin: ThinConfig
    shapes: ShapesConfig
    blobs: BlobsConfig


def draw_mask(config: MasksConfig, foreground: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw M of eq. (12) inside the foreground.

    If all tries of Perlin noise are empty inside the foreground, a thin mask is drawn instead.

    Args:
        config: Settings of the families.
        foreground: Where anomalies may lie, bool, shape (H, W).
        rng: Source of the draws.

    Returns:
        The mask, bool, shape (H, W), never empty.

    Raises:
        ValueError: If the foreground is empty.
    """
    if not foreground.any():
        raise ValueError("the foreground is empty; expected at least one pixel where an anomaly may lie")
    family = weighted_choice(config.weights, rng)
    mask = perlin_mask(config.perlin, foreground, rng) if family == "perlin" else None
    if family == "shapes":
        mask = shape_mask(config.shapes, foreground, rng)
    elif family == "blobs":
        mask = blob_mask(config.blobs, foreground, rng)
    return thin_mask(config.thin, foreground, rng) if mask is None else mask
