"""Heads that judge every position of a feature map by itself.

A head sees one position and no neighbour, so it cannot learn the outlines of synthetic anomalies. Beside them it learns
from Gaussian noise on the features of normal images, the anomaly of SimpleNet (Liu et al., arXiv:2303.15140).
"""

from collections.abc import Iterator
from typing import Literal

from pydantic import Field

from diffusionad.base import ModelConfig
from diffusionad.detectors.feature_head.head import Head, HeadConfig
from diffusionad.detectors.shared.frozen import FrozenModel
from diffusionad.section import Section


class GridConfig(Section):
    """One head: what it reads, and how its map is smoothed."""

    stride: int = Field(gt=0, description="pixels of the image per position; the stride of one of the levels")
    levels: tuple[int, ...] = Field(min_length=1, description="levels of the backbone that are joined; rising")
    pooled: bool = Field(description="whether each position is averaged with its neighbours")
    smoothing_fraction: float = Field(
        ge=0, description="standard deviation of the blur of the map, as a share of the image's shorter side"
    )


class FeatureHeadConfig(ModelConfig):
    """params/detectors/feature_head.yaml."""

    kind: Literal["feature_head"]
    grids: tuple[GridConfig, ...] = Field(min_length=1, description="one head for each; they weigh the same")
    head: HeadConfig


class FeatureHead(FrozenModel):
    """A frozen backbone and one head per grid.

    Args:
        config: Settings of the detector.
        image_size: (height, width) in pixels.

    Raises:
        ValueError: If the image is too small, or no level of a grid has its stride.
    """

    config: FeatureHeadConfig

    def __init__(self, config: FeatureHeadConfig, image_size: tuple[int, int]) -> None:
        heads = dict(_heads(config, image_size))
        super().__init__(config, image_size, heads, dict.fromkeys(heads, 1 / len(heads)))


def _heads(config: FeatureHeadConfig, image_size: tuple[int, int]) -> Iterator[tuple[str, Head]]:
    pixels = image_size[0] * image_size[1]
    for grid in config.grids:
        sigma = grid.smoothing_fraction * min(image_size)
        yield (
            f"head_{grid.stride}",
            Head(config.head, grid.levels, grid.stride, sigma, pooled=grid.pooled, pixels=pixels),
        )


CONFIG, MODEL = FeatureHeadConfig, FeatureHead
