"""One head: two linear layers over the features of a position, and how they are learned."""

import copy
import math
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  # the name that torch's own documentation uses
from pydantic import Field
from torch import Tensor, nn

from diffusionad.detectors.shared.frozen import Cache, Features, Judge, stride_of, take
from diffusionad.networks.efficientnet import LEVELS
from diffusionad.section import Section

READ_AT_ONCE = 16


class HeadConfig(Section):
    """How a head is built and learned."""

    hidden: int = Field(gt=0, description="width of the hidden layer")
    noise_deviation: float = Field(
        gt=0, description="standard deviation of the noise on normal features, in standard deviations of each channel"
    )
    synthetic_images: int = Field(gt=0, description="images with a synthetic anomaly, drawn once")
    synthetic_megapixels: float = Field(gt=0, description="there are fewer such images if these are more pixels in all")
    normal_positions: int = Field(gt=0, description="positions of normal images that are kept to learn from")
    synthetic_positions: int = Field(gt=0, description="the same inside synthetic anomalies; and as many outside")
    steps: int = Field(gt=0, description="optimiser steps")
    positions_per_step: int = Field(ge=4, multiple_of=2, description="positions of each of the three kinds in a step")
    hardest_fraction: float = Field(gt=0, le=1, description="share of synthetic positions that counts, the worst first")
    learning_rate: float = Field(gt=0, description="of AdamW; it falls to 0 along half a cosine")
    weight_decay: float = Field(ge=0)


class Rows(NamedTuple):
    """Features of positions to learn from, float16, and the fold of the image that each comes from."""

    normal: Tensor
    normal_folds: Tensor
    inside: Tensor
    inside_folds: Tensor
    outside: Tensor
    outside_folds: Tensor


class Head(Judge):
    """A logit for each position.

    Args:
        config: How it is built and learned.
        levels: Levels of the backbone that are joined.
        stride: Pixels of the image per position.
        sigma: Standard deviation of the blur of the map, in pixels.
        pooled: Whether each position is averaged with its neighbours.
        pixels: Pixels of an image, which bound the number of synthetic anomalies.

    Raises:
        ValueError: If no level has that stride.
    """

    mean: Tensor
    """(1, D, 1, 1): mean of each channel over positions of normal images."""
    deviation: Tensor
    """(1, D, 1, 1): standard deviation of each channel."""

    def __init__(
        self, config: HeadConfig, levels: tuple[int, ...], stride: int, sigma: float, *, pooled: bool, pixels: int
    ) -> None:
        super().__init__(levels, stride, sigma)
        strides = sorted({stride_of(level) for level in levels})
        if stride not in strides:
            raise ValueError(f"a head with stride {stride} needs a level of that stride; {levels} have {strides}")
        self.config, self.pooled = config, pooled
        self.anomalies = min(config.synthetic_images, max(1, int(config.synthetic_megapixels * 1e6 / pixels)))
        channels = sum(LEVELS[level].channels for level in levels)
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("deviation", torch.ones(1, channels, 1, 1))
        self.layers = nn.Sequential(
            nn.Conv2d(channels, config.hidden, 1),
            nn.BatchNorm2d(config.hidden),
            nn.LeakyReLU(0.2),
            nn.Conv2d(config.hidden, 1, 1),
        )
        self._rows: Rows | None = None

    def forward(self, features: Features) -> Tensor:
        """Judge positions: logits (B, 1, h, w)."""
        logits: Tensor = self.layers((self.join(features, pooled=self.pooled) - self.mean) / self.deviation)
        return logits

    def learn(self, cache: Cache, generator: torch.Generator) -> None:
        """Keep positions of all images, and learn from them."""
        self._rows = self._gather(cache, generator)
        self.fit(self._rows, generator)

    def without(self, fold: int, _cache: Cache, generator: torch.Generator) -> "Head":
        """Learn anew from the positions of the other folds."""
        assert self._rows is not None  # noqa: S101  # after `learn`
        rows = self._rows
        kept = {}
        for name in ("normal", "inside", "outside"):
            folds = getattr(rows, f"{name}_folds")
            kept[name], kept[f"{name}_folds"] = getattr(rows, name)[folds != fold], folds[folds != fold]
        twin = copy.deepcopy(self)
        twin.fit(Rows(**kept), generator)
        return twin

    @torch.no_grad()
    def _gather(self, cache: Cache, generator: torch.Generator) -> Rows:
        """Draw positions of all images; those that an anomaly covers in part are left out."""
        found: dict[str, list[Tensor]] = {name: [] for name in Rows._fields}
        normal_share = max(1, self.config.normal_positions // max(1, len(cache.folds)))
        synthetic_share = max(1, self.config.synthetic_positions // max(1, len(cache.source_folds)))

        def keep(name: str, rows: Tensor, count: int, fold: Tensor) -> None:
            drawn = rows[torch.randperm(len(rows), generator=generator)[:count].to(rows.device)].half()
            found[name].append(drawn)
            found[f"{name}_folds"].append(fold.expand(len(drawn)))

        for places in torch.split(torch.arange(len(cache.folds)), READ_AT_ONCE):
            for place, rows in zip(places, self._positions(cache.normal, places), strict=True):
                keep("normal", rows, normal_share, cache.folds[place])
        for places in torch.split(torch.arange(len(cache.source_folds)), READ_AT_ONCE):
            joined = self._positions(cache.anomalous, places)
            size = self._grid(cache.anomalous)
            shares = F.adaptive_avg_pool2d(cache.masks[places].float(), size).flatten(1)
            for place, rows, share in zip(places, joined, shares, strict=True):
                keep("inside", rows[share > 0.5], synthetic_share, cache.source_folds[place])  # noqa: PLR2004  # most
                keep("outside", rows[share == 0], synthetic_share, cache.source_folds[place])
        return Rows(**{name: torch.cat(parts) for name, parts in found.items()})

    def _positions(self, features: Features, places: Tensor) -> Tensor:
        """Joined features of some images, (B, h w, D)."""
        return self.join(take(features, places), pooled=self.pooled).flatten(2).transpose(1, 2)

    def _grid(self, features: Features) -> tuple[int, int]:
        height, width = next(m.shape[2:] for k, m in features.items() if stride_of(k) == self.stride)
        return int(height), int(width)

    def fit(self, rows: Rows, generator: torch.Generator) -> None:
        """Learn new layers from positions."""
        config, normal = self.config, rows.normal.float()
        self.mean.copy_(normal.mean(dim=0)[:, None, None])
        self.deviation.copy_(normal.std(dim=0, correction=0).clamp(min=1e-6)[:, None, None])
        del normal
        device = self.mean.device
        seed = int(torch.randint(2**31, (), generator=generator))
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seed)
            for layer in self.layers:
                if not isinstance(layer, nn.LeakyReLU):
                    layer.reset_parameters()  # type: ignore[operator]  # both kinds of layers have it
            self.layers.train()
            optimiser = torch.optim.AdamW(
                self.layers.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
            )
            with torch.enable_grad():
                for step in range(config.steps):
                    for group in optimiser.param_groups:
                        group["lr"] = config.learning_rate * (1 + math.cos(math.pi * step / config.steps)) / 2
                    optimiser.zero_grad(set_to_none=True)
                    self._loss(rows).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                    optimiser.step()
        self.layers.eval()

    def _loss(self, rows: Rows) -> Tensor:
        """Cross-entropy of normal positions, of the same with noise, and of the hardest synthetic ones."""
        config, half = self.config, self.config.positions_per_step // 2
        normal = self._draw(rows.normal, config.positions_per_step)
        noisy = normal + config.noise_deviation * torch.randn_like(normal)
        parts = [normal, noisy, self._draw(rows.inside, half), self._draw(rows.outside, half)]
        logits = self.layers(torch.cat(parts))[:, 0, 0, 0]
        of_normal, of_noisy, of_inside, of_outside = logits.split([len(part) for part in parts])
        synthetic = torch.cat([F.softplus(-of_inside), F.softplus(of_outside)])
        hardest = synthetic.topk(max(1, round(config.hardest_fraction * len(synthetic)))).values
        return F.softplus(of_normal).mean() + F.softplus(-of_noisy).mean() + hardest.mean()

    def _draw(self, rows: Tensor, count: int) -> Tensor:
        """Draw standardised positions, (count, D, 1, 1); none if there are none."""
        drawn = rows[torch.randint(len(rows), (count if len(rows) else 0,))] if len(rows) else rows
        return (drawn.float()[:, :, None, None] - self.mean) / self.deviation
