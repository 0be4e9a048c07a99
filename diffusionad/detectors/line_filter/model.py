"""Thin dark lines, such as cracks, which features of a network at a quarter of the size or less do not show.

The filter is fixed. Held-out normal images set its scale: where normal parts have lines of their own, it says little.
"""

from typing import Literal, Self

import torch
from pydantic import Field
from torch import Tensor

from diffusionad.base import ModelConfig
from diffusionad.detectors.shared.frozen import PIXELS, Cache, Features, FrozenModel, Judge
from diffusionad.networks.lines import dark_lines


class LineFilterConfig(ModelConfig):
    """params/detectors/line_filter.yaml."""

    kind: Literal["line_filter"]
    width_px: float = Field(gt=0, description="standard deviation across a line, in pixels of the resized image")
    length_px: float = Field(gt=0, description="standard deviation along a line, in pixels of the resized image")
    smoothing_fraction: float = Field(
        ge=0, description="standard deviation of the blur of the map, as a share of the image's shorter side"
    )


class Lines(Judge):
    """Responses to dark lines.

    Args:
        config: Settings of the filter.
        sigma: Standard deviation of the blur of the map, in pixels.
    """

    def __init__(self, config: LineFilterConfig, sigma: float) -> None:
        super().__init__((PIXELS,), 1, sigma)
        self.config = config

    def forward(self, features: Features) -> Tensor:
        """Responses, (B, 1, h, w)."""
        return dark_lines(features[PIXELS], self.config.width_px, self.config.length_px)

    def learn(self, _cache: Cache, _generator: torch.Generator) -> None:
        """Learn nothing."""

    def without(self, _left_out: Tensor, _generator: torch.Generator) -> Self:
        """The same filter."""
        return self


class LineFilter(FrozenModel):
    """The filter on the scale of normal images.

    Args:
        config: Settings of the detector.
        image_size: (height, width) in pixels.
    """

    config: LineFilterConfig

    def __init__(self, config: LineFilterConfig, image_size: tuple[int, int]) -> None:
        judge = Lines(config, config.smoothing_fraction * min(image_size))
        super().__init__(config, image_size, {"lines": judge}, {"lines": 1.0})


CONFIG, MODEL = LineFilterConfig, LineFilter
