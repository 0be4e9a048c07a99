"""Norm-guided one-step denoising (DiffusionAD, arXiv:2303.08730, eq. 1 and 6 to 8) of features by a learned network.

x_0 is the feature of a patch, as in `feature_diffusion`, whose exact denoiser remembers patches. Here a network of
fixed size is learned in its place.
"""

from typing import Literal

from diffusionad.base import ModelConfig
from diffusionad.detectors.learned_feature_diffusion.denoiser import Learned, NetworkConfig
from diffusionad.detectors.shared.frozen import FrozenModel


class LearnedFeatureDiffusionConfig(ModelConfig):
    """params/detectors/learned_feature_diffusion.yaml."""

    kind: Literal["learned_feature_diffusion"]
    denoiser: NetworkConfig


class LearnedFeatureDiffusion(FrozenModel):
    """A frozen backbone and a network that denoises its features.

    Args:
        config: Settings of the detector.
        image_size: (height, width) in pixels.

    Raises:
        ValueError: If the image is too small.
    """

    config: LearnedFeatureDiffusionConfig

    def __init__(self, config: LearnedFeatureDiffusionConfig, image_size: tuple[int, int]) -> None:
        judge = Learned(config.denoiser, image_size, config.denoiser.smoothing_fraction * min(image_size))
        super().__init__(config, image_size, {"denoiser": judge}, {"denoiser": 1.0})


CONFIG, MODEL = LearnedFeatureDiffusionConfig, LearnedFeatureDiffusion
