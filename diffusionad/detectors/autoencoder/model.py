"""An autoencoder reconstructs, a segmenter compares: the recipe of DRAEM (arXiv:2108.07610), Table VII of DiffusionAD.

Deviation: the reconstruction learns by the squared error of normal images; DRAEM adds SSIM, and reconstructs the image
beneath a synthetic anomaly.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from diffusionad.base import Mode, Noise, NoiselessForm, Output
from diffusionad.detectors.shared.joint import (
    JointConfig,
    JointModel,
    JointTraining,
    LearningRates,
    SegmentationLossConfig,
    segmentation_losses,
)
from diffusionad.networks.autoencoder import Autoencoder, AutoencoderConfig
from diffusionad.networks.losses import normal_mse

MODE = "autoencoder"


class LossConfig(SegmentationLossConfig):
    """Part `loss`."""

    reconstruction_weight: float = Field(ge=0, description="weight of the squared error of normal images")


class AutoencoderDetectorConfig(JointConfig):
    """params/detectors/autoencoder.yaml."""

    kind: Literal["autoencoder"]
    autoencoder: AutoencoderConfig
    reconstruction_dropout: float = Field(
        ge=0,
        le=1,
        description="share of training images for which the segmenter sees the image itself as reconstruction",
    )
    learning_rates: LearningRates
    loss: LossConfig


class TrainingOutput(NamedTuple):
    """What the losses are computed from."""

    x_0: Tensor
    """The images in the model's value range, (B, C, H, W)."""
    x_0_hat: Tensor
    """Their reconstructions, (B, C, H, W), which may leave that range."""
    mask_logits: Tensor
    """(B, 1, H, W)."""


class AutoencoderDetector(JointModel):
    """Autoencoder and segmenter.

    Args:
        config: Settings of the detector.
        image_size: (height, width) in pixels; every level of every network must divide it.

    Raises:
        ValueError: If a network cannot halve the image as often as its settings say.
    """

    config: AutoencoderDetectorConfig

    def __init__(self, config: AutoencoderDetectorConfig, image_size: tuple[int, int]) -> None:
        halvings = {"autoencoder": 2 ** (len(config.autoencoder.channel_multipliers) - 1)}
        super().__init__(config, image_size, Autoencoder(config.autoencoder, config.image_channels), halvings)

    @property
    def phases(self) -> tuple["ImagesAndMasks"]:
        """One phase: both networks together."""
        return (ImagesAndMasks(self),)

    @property
    def modes(self) -> dict[str, Mode]:
        """One mode."""
        return {MODE: Mode(1, ())}

    def forward(self, images: Tensor, dropout_mask: Tensor) -> TrainingOutput:
        """One pass of joint training.

        Args:
            images: Images in [0, 1], shape (B, C, H, W).
            dropout_mask: Whether the segmenter sees the image itself in place of its reconstruction, bool, shape (B,).
        """
        x_0 = self.to_range(images)
        x_0_hat = self.reconstructor(x_0)
        # Clamped only for the segmenter, as at inference; the squared error needs the unclamped values.
        seen = torch.where(dropout_mask.to(x_0.device).reshape(-1, 1, 1, 1), x_0, x_0_hat.clamp(-1, 1))
        return TrainingOutput(x_0, x_0_hat, self.segment(x_0, seen))

    def infer(self, images: Tensor, _noise: Noise, _mode: str) -> Output:
        """Reconstruct and segment images in [0, 1], shape (B, C, H, W)."""
        x_0 = self.to_range(images)
        x_0_hat = self.reconstructor(x_0).clamp(-1, 1)
        return Output(self.segment(x_0, x_0_hat)[:, 0], self.from_range(x_0_hat))

    def form(self, mode: str) -> NoiselessForm:
        """The model itself."""
        return NoiselessForm(self, mode)


class ImagesAndMasks(JointTraining):
    """Joint training on the squared error of the images and on their masks."""

    def __init__(self, model: AutoencoderDetector) -> None:
        super().__init__(model, model.config.learning_rates.model_dump())
        self.model, self.config = model, model.config

    def draw(self, batch: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw for which images the segmenter does not see the reconstruction."""
        return {"dropout_mask": torch.rand(batch, generator=generator) < self.config.reconstruction_dropout}

    def loss(self, images: Tensor, mask: Tensor, is_normal: Tensor, draws: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """reconstruction_weight * squared error of the normal images + smooth L1 + focal_weight * focal."""
        config, output = self.config.loss, self.model(images, draws["dropout_mask"])
        is_normal = is_normal.to(images.device)
        error = normal_mse(output.x_0_hat, output.x_0, is_normal.float(), is_normal)
        smooth_l1, focal = segmentation_losses(config, output.mask_logits, mask)
        total = config.reconstruction_weight * error + smooth_l1 + config.focal_weight * focal
        parts = {"reconstruction": error, "focal": focal, "smooth_l1": smooth_l1}
        return {"total": total, **{name: value.detach() for name, value in parts.items()}}


CONFIG, MODEL = AutoencoderDetectorConfig, AutoencoderDetector
