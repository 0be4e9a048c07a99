"""PatchCore (Roth et al., arXiv:2106.08265) on EfficientNet-Lite0: one pass over the normal images, no gradient.

It remembers features of patches of normal images, from a network that was trained on ImageNet; the anomaly score of a
patch is its distance to the nearest patch remembered. Deviations: the backbone is smaller than in the paper, and scores
are not re-weighted.
"""

from collections.abc import Iterable
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F  # noqa: N812  # the name that torch's own documentation uses
from pydantic import Field
from torch import Tensor, nn

from diffusionad.base import Mode, Model, ModelConfig, Noise, Once, Output, TrainingImages
from diffusionad.networks.coreset import farthest
from diffusionad.networks.efficientnet import LEVELS, EfficientNetLite0
from diffusionad.networks.smoothing import enlarge

MODE = "patchcore"


class PatchCoreConfig(ModelConfig):
    """params/detectors/patchcore.yaml."""

    kind: Literal["patchcore"]
    backbone_levels: tuple[int, ...] = Field(
        min_length=1, description="levels of the backbone whose features are joined; rising"
    )
    coreset_fraction: float = Field(gt=0, le=1, description="share of all patches that is remembered")
    candidates: int = Field(ge=1, description="patches drawn at random for each one remembered, to choose from")
    projection_dims: int = Field(gt=0, description="random directions in which candidates are compared")
    smoothing_fraction: float = Field(
        ge=0, description="standard deviation of the blur of the map, as a share of the image's shorter side"
    )


class PatchCore(Model):
    """Backbone, memory bank, and the scale on which distances are read.

    Args:
        config: Settings of the detector.
        image_size: (height, width) in pixels.
    """

    config: PatchCoreConfig
    bank: Tensor
    """(M, D): features of the M patches remembered."""
    centre: Tensor
    """Scalar: the largest distance in a typical normal image, which is logit 0."""
    scale: Tensor
    """Scalar: the distance that is one logit."""

    def __init__(self, config: PatchCoreConfig, image_size: tuple[int, int]) -> None:
        super().__init__(config, image_size)
        self.backbone = EfficientNetLite0(config.backbone_levels)
        self.register_buffer("bank", torch.empty(0, sum(LEVELS[level].channels for level in config.backbone_levels)))
        self.register_buffer("centre", torch.tensor(0.0))
        self.register_buffer("scale", torch.tensor(1.0))
        self.register_load_state_dict_pre_hook(_make_room)  # type: ignore[no-untyped-call]  # torch types a part

    @property
    def parts(self) -> dict[str, int]:
        """Number of stored values of each part."""
        return {"backbone": sum(weight.numel() for weight in self.backbone.parameters()), "bank": self.bank.numel()}

    @property
    def phases(self) -> tuple["Coreset"]:
        """One phase."""
        return (Coreset(self),)

    @property
    def modes(self) -> dict[str, Mode]:
        """One mode."""
        return {MODE: Mode(1, ())}

    def infer(self, images: Tensor, _noise: Noise, _mode: str) -> Output:
        """Read the distances of images in [0, 1], shape (B, 3, H, W), as logits; there is no reconstruction."""
        return Output((self.distances(images) - self.centre) / self.scale)

    def distances(self, images: Tensor) -> Tensor:
        """Map of distances to the nearest patch remembered, smoothed, shape (B, H, W)."""
        patches = self._patches(images)  # (B, D, h, w)
        batch, dims, height, width = patches.shape
        flat = patches.permute(0, 2, 3, 1).reshape(batch, -1, dims)
        nearest = torch.stack([torch.cdist(rows, self.bank).amin(dim=1) for rows in flat])
        coarse = nearest.reshape(batch, 1, height, width)
        return enlarge(coarse, self.image_size, self.config.smoothing_fraction * min(self.image_size))[:, 0]

    @torch.no_grad()
    def remember(self, batches: Iterable[Tensor], generator: torch.Generator) -> None:
        """Fill the memory bank with patches of normal images in [0, 1], shape (B, 3, H, W) each."""
        maps = [self._patches(batch) for batch in batches]
        patches = torch.cat([patch.permute(0, 2, 3, 1).reshape(-1, patch.shape[1]) for patch in maps])
        count = max(1, round(self.config.coreset_fraction * len(patches)))
        drawn = torch.randperm(len(patches), generator=generator)[: count * self.config.candidates]
        candidates = patches[drawn]
        projection = torch.randn(candidates.shape[1], self.config.projection_dims, generator=generator)
        self.bank = candidates[farthest(candidates @ projection.to(candidates), count)]

    def calibrate(self, batches: Iterable[tuple[Tensor, Noise]]) -> None:
        """Set centre and scale from normal images held out of the fit: the median of their maxima becomes logit 0."""
        tops = torch.cat([self.distances(images).flatten(1).amax(dim=1) for images, _ in batches])
        self.centre.copy_(tops.median())
        # At five times that distance the logit is 32, whose sigmoid is still below 1 in float64.
        self.scale.copy_((self.centre / 8).clamp(min=1e-6))

    def _patches(self, images: Tensor) -> Tensor:
        """Features of each patch, averaged with its neighbours, at the resolution of the first level: (B, D, h, w)."""
        maps = [F.avg_pool2d(features, 3, stride=1, padding=1) for features in self.backbone(images)]
        size = maps[0].shape[2:]
        return torch.cat([F.interpolate(m, size=size, mode="bilinear", align_corners=False) for m in maps], dim=1)


class Coreset(Once):
    """The pass that fills the memory bank."""

    name: ClassVar[str] = "coreset"

    def __init__(self, model: PatchCore) -> None:
        self._model = model

    def fit(self, images: TrainingImages, generator: torch.Generator) -> None:
        """Load the backbone's weights and remember patches of the normal images.

        Raises:
            ValueError: If the weights are not installed.
        """
        self._model.backbone.load_pretrained()
        self._model.remember(images.normal(), generator)


def _make_room(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Accept a memory bank of any length, which is known only after the fit."""
    bank = state.get(f"{prefix}bank")
    if isinstance(module, PatchCore) and bank is not None and bank.dim() == 2:  # noqa: PLR2004  # (M, D)
        module.bank = module.bank.new_empty(len(bank), module.bank.shape[1])


CONFIG, MODEL = PatchCoreConfig, PatchCore
