"""The exact denoiser of a finite set of normal patches, and the distance of a patch to its reconstruction."""

import copy
from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from diffusionad.detectors.shared.frozen import Cache, Features, Judge, stride_of, take
from diffusionad.detectors.shared.residual import whitening_of
from diffusionad.networks.coreset import farthest
from diffusionad.networks.efficientnet import LEVELS
from diffusionad.section import Section

READ_AT_ONCE = 16
MEASURED = 2000
"""Patches that the unit of the noise and the covariance of the residuals are measured on."""


class MemoryConfig(Section):
    """What is remembered, and how a patch is denoised."""

    levels: tuple[int, ...] = Field(min_length=1, description="levels of the backbone that are joined; rising")
    coreset_fraction: float = Field(gt=0, le=1, description="share of all patches that is remembered")
    max_patches: int = Field(gt=0, description="patches that may be remembered; more are refused")
    candidates: int = Field(ge=1, description="patches drawn at random for each one remembered, to choose from")
    projection_dims: int = Field(gt=0, description="random directions in which candidates are compared")
    sigma_s: float = Field(
        ge=0,
        description="noise of the small step t_s, sqrt((1 - alpha_bar) / alpha_bar), in units of the median distance "
        "of a normal patch to the nearest remembered one; 0 is the limit t -> 0, the nearest patch",
    )
    sigma_b: float = Field(ge=0, description="noise of the big step t_b, in the same unit")
    scale: float = Field(ge=0, description="w, strength of the guidance, eq. (7); 0 leaves the big step out")
    residual: Literal["raw", "whitened"] = Field(
        description="distance to the reconstruction: Euclidean, or in units of what is usual in each direction"
    )
    smoothing_fraction: float = Field(
        ge=0, description="standard deviation of the blur of the map, as a share of the image's shorter side"
    )


class Memory(Judge):
    """Distance of each patch to its norm-guided reconstruction.

    Args:
        config: What is remembered, and how a patch is denoised.
        sigma: Standard deviation of the blur of the map, in pixels.
    """

    bank: Tensor
    """(M, D): features of the patches remembered."""
    unit: Tensor
    """Scalar: median distance of a normal patch to the nearest patch remembered."""
    whitening: Tensor
    """(D, D): maps a residual to one whose length is its distance."""

    def __init__(self, config: MemoryConfig, sigma: float) -> None:
        super().__init__(config.levels, min(map(stride_of, config.levels)), sigma)
        self.config = config
        channels = sum(LEVELS[level].channels for level in config.levels)
        self.register_buffer("bank", torch.zeros(0, channels))
        self.register_buffer("unit", torch.tensor(1.0))
        if config.residual == "whitened":
            self.register_buffer("whitening", torch.eye(channels))
        self.register_load_state_dict_pre_hook(_make_room)  # type: ignore[no-untyped-call]  # torch types a part
        self._bank_sources = torch.empty(0, dtype=torch.long)

    def forward(self, features: Features) -> Tensor:
        """Distances, (B, 1, h, w)."""
        patches = self.join(features, pooled=True)
        batch, dims, height, width = patches.shape
        rows = patches.permute(0, 2, 3, 1)
        if torch.onnx.is_in_onnx_export():  # an export holds for any batch
            return self.distance(rows.reshape(-1, dims)).reshape(-1, 1, height, width)
        # Image by image, so that the memory needed does not grow with the batch.
        return torch.stack([self.distance(image) for image in rows.reshape(batch, -1, dims)]).reshape(
            batch, 1, height, width
        )

    def distance(self, x_0: Tensor) -> Tensor:
        """Distance of patches (P, D) to their reconstructions, (P,)."""
        config = self.config
        squares = squared_distances(x_0, self.bank)
        if config.sigma_s == 0 and config.scale == 0 and config.residual == "raw":
            return squares.amin(dim=1).sqrt()
        x_0_hat = self.denoise(squares, config.sigma_s)
        if config.scale > 0:
            # 1 - alpha_bar of the small step, with features in units of `unit`.
            weight = config.scale * config.sigma_s**2 / (1 + config.sigma_s**2)
            x_0_hat = x_0_hat + weight * (self.denoise(squares, config.sigma_b) - x_0_hat)
        residual = x_0 - x_0_hat
        if config.residual == "whitened":
            residual = residual @ self.whitening
        return residual.square().sum(dim=1).sqrt()

    def denoise(self, squares: Tensor, sigma: float) -> Tensor:
        """One-step reconstruction E[x_0 | x_t] with x_t at its mean, so that no noise is drawn, (P, D).

        E[x_0 | x_t] = sum_i softmax_i(-|x_t - sqrt(alpha_bar) b_i|^2 / (2 (1 - alpha_bar))) b_i, for patches b_i.

        Args:
            squares: Squared distances to the patches remembered, (P, M).
            sigma: sqrt((1 - alpha_bar) / alpha_bar) in units of `unit`.
        """
        if sigma == 0:
            return self.bank[squares.argmin(dim=1)]
        return torch.softmax(-squares / (2 * (sigma * self.unit) ** 2), dim=1) @ self.bank

    @torch.no_grad()
    def learn(self, cache: Cache, generator: torch.Generator) -> None:
        """Remember patches of all images.

        Raises:
            ValueError: If they are more than allowed.
        """
        config, images = self.config, len(cache.folds)
        joined = [
            self.join(take(cache.normal, places), pooled=True).permute(0, 2, 3, 1).flatten(1, 2)
            for places in torch.split(torch.arange(images), READ_AT_ONCE)
        ]
        per_image = joined[0].shape[1]
        patches = torch.cat([part.flatten(0, 1) for part in joined])
        count = max(1, round(config.coreset_fraction * len(patches)))
        if count > config.max_patches:
            raise ValueError(
                f"coreset_fraction {config.coreset_fraction} of {len(patches)} patches are {count}, more than "
                f"max_patches ({config.max_patches}); lower the fraction or raise the limit"
            )
        drawn = torch.randperm(len(patches), generator=generator)[: count * config.candidates]
        candidates = patches[drawn.to(patches.device)]
        projection = torch.randn(candidates.shape[1], config.projection_dims, generator=generator)
        chosen = farthest(candidates @ projection.to(candidates), count)
        self.bank = candidates[chosen.to(candidates.device)].contiguous()
        sources = drawn // per_image
        self._bank_sources = sources[chosen]
        self._measure(candidates[:MEASURED], sources[:MEASURED].to(candidates.device))

    def _measure(self, patches: Tensor, sources: Tensor) -> None:
        """Set the unit of the noise and the whitening, by the patches of other images that are nearest to patches."""
        squares = squared_distances(patches, self.bank)
        others = squares.masked_fill(sources[:, None] == self._bank_sources[None, :].to(sources.device), torch.inf)
        known = others.isfinite().any(dim=1)  # all but those whose image filled the whole memory
        if not known.any():
            known, others = torch.ones_like(known), squares
        nearest = others[known].min(dim=1)
        self.unit.copy_(nearest.values.sqrt().median().clamp(min=1e-6))
        if self.config.residual == "whitened":
            residual = patches[known] - self.bank[nearest.indices]
            self.whitening.copy_(whitening_of(residual))

    def without(self, left_out: Tensor, _generator: torch.Generator) -> "Memory":
        """The same memory without the patches of some images."""
        twin = copy.copy(self)
        twin._buffers = dict(self._buffers)  # noqa: SLF001  # of the twin itself: the copy shares them otherwise
        kept = ~torch.isin(self._bank_sources, left_out)
        if kept.any():
            twin.bank = self.bank[kept.to(self.bank.device)]
        return twin


def squared_distances(rows: Tensor, others: Tensor) -> Tensor:
    """Squared Euclidean distances of rows (P, D) to others (M, D), (P, M)."""
    squares = rows.square().sum(dim=1)[:, None] + others.square().sum(dim=1)[None, :]
    return (squares - 2 * rows @ others.T).clamp(min=0)


def _make_room(module: nn.Module, state: dict[str, Tensor], prefix: str, *_: object) -> None:
    """Accept a memory of any length, which is known only after training."""
    bank = state.get(f"{prefix}bank")
    if isinstance(module, Memory) and bank is not None and bank.dim() == 2:  # noqa: PLR2004  # (M, D)
        module.bank = module.bank.new_empty(len(bank), module.bank.shape[1])
