"""A segmenter that sees the image twice and learns from synthetic anomalies alone, without a reconstruction.

It is the control for the other detectors: what they find beyond it is the merit of their reconstruction.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from diffusionad.base import Mode, Noise, NoiselessForm, Output
from diffusionad.detectors.shared.joint import (
    JointConfig,
    JointModel,
    JointTraining,
    SegmentationLossConfig,
    segmentation_losses,
)
from diffusionad.section import Section

MODE = "segmentation"


class Rates(Section):
    """Learning rate of Adam."""

    segmenter: float = Field(gt=0)


class SegmentationConfig(JointConfig):
    """params/detectors/segmentation.yaml."""

    kind: Literal["segmentation"]
    learning_rates: Rates
    loss: SegmentationLossConfig


class Segmentation(JointModel):
    """The segmenter of `diffusionad.detectors.shared.joint`, alone."""

    config: SegmentationConfig

    def __init__(self, config: SegmentationConfig, image_size: tuple[int, int]) -> None:
        super().__init__(config, image_size, None, {})

    @property
    def phases(self) -> tuple["MaskTraining"]:
        """One phase."""
        return (MaskTraining(self),)

    @property
    def modes(self) -> dict[str, Mode]:
        """One mode."""
        return {MODE: Mode(1, ())}

    def infer(self, images: Tensor, _noise: Noise, _mode: str) -> Output:
        """Segment images in [0, 1], shape (B, C, H, W)."""
        x_0 = self.to_range(images)
        return Output(self.segment(x_0, x_0)[:, 0])

    def form(self, mode: str) -> NoiselessForm:
        """The model itself."""
        return NoiselessForm(self, mode)


class MaskTraining(JointTraining):
    """Training on masks alone."""

    def __init__(self, model: Segmentation) -> None:
        super().__init__(model, model.config.learning_rates.model_dump())
        self.model, self.config = model, model.config.loss

    def draw(self, _batch: int, _generator: torch.Generator) -> dict[str, Tensor]:
        """Nothing is drawn."""
        return {}

    def loss(self, images: Tensor, mask: Tensor, _is_normal: Tensor, _draws: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Eq. (10) of DiffusionAD: smooth L1 + focal_weight * focal."""
        x_0 = self.model.to_range(images)
        smooth_l1, focal = segmentation_losses(self.config, self.model.segment(x_0, x_0), mask)
        total = smooth_l1 + self.config.focal_weight * focal
        return {"total": total, "focal": focal.detach(), "smooth_l1": smooth_l1.detach()}


CONFIG, MODEL = SegmentationConfig, Segmentation
