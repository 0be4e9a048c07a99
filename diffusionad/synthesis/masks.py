"""Where: draw one mask from one of three families."""

from typing import Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from diffusionad.section import Section
from diffusionad.synthesis.perlin import PerlinConfig, perlin_mask
from diffusionad.synthesis.shapes import ShapesConfig, shape_mask
from diffusionad.synthesis.thin import ThinConfig, thin_mask


class MaskWeights(Section):
    """How often each family is drawn, relative to the others."""

    perlin: float = Field(ge=0)
    thin: float = Field(ge=0)
    shapes: float = Field(ge=0)

    @model_validator(mode="after")
    def _some_family(self) -> Self:
        if self.perlin + self.thin + self.shapes <= 0:
            raise ValueError("at least one weight must be above 0")
        return self


class MasksConfig(Section):
    """Part `masks` of the synthesis settings."""

    weights: MaskWeights
    perlin: PerlinConfig
    thin: ThinConfig
    shapes: ShapesConfig


def draw_mask(config: MasksConfig, foreground: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Draw M of eq. (12) inside the foreground.

    Where Perlin noise finds no pixel of the foreground in all its tries, a thin mask is drawn in its place.

    Args:
        config: The numbers.
        foreground: Where anomalies may lie, shape (H, W).
        rng: Source of the draws.

    Returns:
        The mask, shape (H, W), never empty.

    Raises:
        ValueError: If the foreground is empty.
    """
    if not foreground.any():
        raise ValueError("the foreground is empty; expected at least one pixel where an anomaly may lie")
    weights = np.asarray([config.weights.perlin, config.weights.thin, config.weights.shapes])
    family = rng.choice(3, p=weights / weights.sum())
    mask = perlin_mask(config.perlin, foreground, rng) if family == 0 else None
    if family == 2:  # noqa: PLR2004  # the third family
        mask = shape_mask(config.shapes, foreground, rng)
    return thin_mask(config.thin, foreground, rng) if mask is None else mask
