"""A segmenter that compares images with their reconstructions, trained together with a reconstructor.

DiffusionAD (arXiv:2303.08730, section IV-C) takes it from DRAEM (arXiv:2108.07610).
"""

from collections.abc import Mapping
from typing import ClassVar, Literal, NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  # the name that torch's own documentation uses
from pydantic import Field, model_validator
from torch import Tensor, nn

from diffusionad.base import Group, Model, ModelConfig, Stepwise
from diffusionad.networks.feature_segmenter import FeatureSegmenter, FeatureSegmenterConfig
from diffusionad.networks.losses import focal_loss
from diffusionad.networks.segmenter import Segmenter, SegmenterConfig
from diffusionad.section import Section


class LearningRates(Section):
    """Learning rates of Adam, one per network."""

    reconstructor: float = Field(gt=0)
    segmenter: float = Field(gt=0)


class SegmentationLossConfig(Section):
    """Weights of the segmentation loss, eq. (10) of DiffusionAD."""

    focal_weight: float = Field(ge=0, description="gamma of eq. (10)")
    focal_balance: float = Field(ge=0, le=1, description="alpha of the focal loss, the weight of anomalous pixels")
    focal_exponent: float = Field(ge=0, description="gamma of the focal loss")


class JointConfig(ModelConfig):
    """Settings of all detectors with such a segmenter."""

    value_range: Literal["unit", "symmetric"] = Field(description="the networks see images in [0, 1] or in [-1, 1]")
    image_channels: int = Field(gt=0, description="3 for RGB")
    segmenter_input: Literal["pixels", "features"] = Field(
        description="what is compared: pixels of image and reconstruction, as in the paper (`segmenter`), or their "
        "features from a network trained on ImageNet (`feature_segmenter`)"
    )
    segmenter: SegmenterConfig
    feature_segmenter: FeatureSegmenterConfig

    @model_validator(mode="after")
    def _features_of_colour(self) -> "JointConfig":
        if self.segmenter_input == "features" and self.image_channels != 3:  # noqa: PLR2004  # RGB
            raise ValueError(f"segmenter_input `features` needs image_channels 3, got {self.image_channels}")
        return self


class JointModel(Model):
    """Images, their reconstructions, and a segmenter that sees both.

    Args:
        config: Settings of the detector.
        image_size: (height, width) in pixels; both are divisible by what each network divides them by.
        reconstructor: Network that makes the reconstructions; None where the detector makes none.
        halvings: Factor by which each network of the reconstructor reduces the image, by its name in the settings.

    Raises:
        ValueError: If a network cannot halve the image as often as its settings say.
    """

    config: JointConfig
    reconstructor: nn.Module
    segmenter: nn.Module

    def __init__(
        self,
        config: JointConfig,
        image_size: tuple[int, int],
        reconstructor: nn.Module | None,
        halvings: Mapping[str, int],
    ) -> None:
        super().__init__(config, image_size)
        of_pixels = config.segmenter.stem * 2 ** (len(config.segmenter.channel_multipliers) - 1)
        sees_features = config.segmenter_input == "features"
        for name, divisor in {**halvings, "segmenter": 2 if sees_features else of_pixels}.items():
            if any(pixels % divisor for pixels in image_size):
                raise ValueError(f"`{name}` halves an image down to 1/{divisor}; {image_size} is not divisible by that")
        if reconstructor is not None:
            self.reconstructor = reconstructor
        if sees_features:
            self.segmenter = FeatureSegmenter(config.feature_segmenter)
        else:
            self.segmenter = Segmenter(config.segmenter, 2 * config.image_channels)

    def to_range(self, images: Tensor) -> Tensor:
        """Images in [0, 1] -> x_0 in the model's value range; any shape."""
        return images if self.config.value_range == "unit" else 2 * images - 1

    def from_range(self, x_0: Tensor) -> Tensor:
        """x_0 in the model's value range -> images in [0, 1]; any shape."""
        return (x_0 if self.config.value_range == "unit" else (x_0 + 1) / 2).clamp(0, 1)

    def segment(self, x_0: Tensor, x_0_hat: Tensor) -> Tensor:
        """Mask logits (B, 1, H, W) for images and reconstructions in the model's value range, (B, C, H, W)."""
        logits: Tensor
        if self.config.segmenter_input == "features":
            logits = self.segmenter(self.from_range(x_0), self.from_range(x_0_hat))
        else:
            logits = self.segmenter(torch.cat([x_0, x_0_hat], dim=1))
        return logits


class JointTraining(Stepwise):
    """Training of reconstructor and segmenter together, from normal images and synthetic anomalies."""

    name: ClassVar[str] = "joint"
    batch: ClassVar[Literal["normal", "mixed"]] = "mixed"

    def __init__(self, model: JointModel, rates: Mapping[str, float]) -> None:
        self._model, self._rates = model, rates

    def prepare(self) -> None:
        """Load the weights of the frozen part of the segmenter, if it has one.

        Raises:
            ValueError: If they are not installed.
        """
        if isinstance(self._model.segmenter, FeatureSegmenter):
            self._model.segmenter.encoder.load_pretrained()

    def groups(self) -> dict[str, Group]:
        """Each network with its learning rate."""
        return {name: Group(getattr(self._model, name).parameters(), rate) for name, rate in self._rates.items()}


class SegmentationLosses(NamedTuple):
    """The terms of eq. (10), scalars: means over pixels."""

    smooth_l1: Tensor
    focal: Tensor


def segmentation_losses(config: SegmentationLossConfig, mask_logits: Tensor, mask: Tensor) -> SegmentationLosses:
    """Compare mask logits with the ground truth {0, 1}, both of shape (B, 1, H, W)."""
    logits = mask_logits.float()
    focal = focal_loss(logits, mask, config.focal_balance, config.focal_exponent)
    return SegmentationLosses(F.smooth_l1_loss(torch.sigmoid(logits), mask), focal)
