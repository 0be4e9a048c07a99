"""Norm-guided one-step denoising (DiffusionAD, arXiv:2303.08730, eq. 1 and 6 to 8) of features, not of pixels.

x_0 is the feature of a patch. Over a finite set of normal patches the optimal denoiser is known: the mean of the
patches, weighted by how likely each is behind x_t. It needs no training, and for t -> 0 it gives the nearest patch, so
that the distance of a patch to its reconstruction is the score of PatchCore (Roth et al., arXiv:2106.08265).
"""

from typing import Literal

from diffusionad.base import ModelConfig
from diffusionad.detectors.feature_diffusion.memory import Memory, MemoryConfig
from diffusionad.detectors.shared.frozen import FrozenModel


class FeatureDiffusionConfig(ModelConfig):
    """params/detectors/feature_diffusion.yaml."""

    kind: Literal["feature_diffusion"]
    memory: MemoryConfig


class FeatureDiffusion(FrozenModel):
    """A frozen backbone and the exact denoiser of its features.

    Args:
        config: Settings of the detector.
        image_size: (height, width) in pixels.

    Raises:
        ValueError: If the image is too small.
    """

    config: FeatureDiffusionConfig

    def __init__(self, config: FeatureDiffusionConfig, image_size: tuple[int, int]) -> None:
        sigma = config.memory.smoothing_fraction * min(image_size)
        super().__init__(config, image_size, {"memory": Memory(config.memory, sigma)}, {"memory": 1.0})


CONFIG, MODEL = FeatureDiffusionConfig, FeatureDiffusion
