"""One head: two linear layers over the features of a position, and how they are learned."""

import copy
import math

import torch
import torch.nn.functional as F  # noqa: N812  # the name that torch's own documentation uses
from pydantic import Field
from torch import Tensor, nn

from diffusionad.detectors.feature_head.positions import Sample, gather
from diffusionad.detectors.shared.frozen import Cache, Features, Judge, stride_of
from diffusionad.networks.efficientnet import LEVELS
from diffusionad.section import Section


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
    """(D,): mean of each channel over positions of normal images."""
    deviation: Tensor
    """(D,): standard deviation of each channel."""

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
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("deviation", torch.ones(channels))
        self.layers = nn.Sequential(
            nn.Linear(channels, config.hidden),
            nn.BatchNorm1d(config.hidden),
            nn.LeakyReLU(0.2),
            nn.Linear(config.hidden, 1),
        )
        self._kept: Sample | None = None

    def forward(self, features: Features) -> Tensor:
        """Judge positions: logits (B, 1, h, w)."""
        joined = self.joined(features)
        rows = (joined.permute(0, 2, 3, 1).reshape(-1, joined.shape[1]) - self.mean) / self.deviation
        logits: Tensor = self.layers(rows)
        return logits.reshape(-1, 1, *joined.shape[2:])

    def learn(self, cache: Cache, generator: torch.Generator) -> None:
        """Keep positions of all images, and learn from them."""
        self._kept = gather(
            self.joined, cache, (self.config.normal_positions, self.config.synthetic_positions), generator
        )
        self._fit(self._kept, generator)

    def without(self, left_out: Tensor, generator: torch.Generator) -> "Head":
        """Learn anew from the positions of the other images."""
        assert self._kept is not None  # noqa: S101  # after `learn`
        twin = copy.copy(self)
        twin._buffers, twin._modules = copy.deepcopy((self._buffers, self._modules))  # noqa: SLF001  # of the twin itself
        twin._fit(Sample(*(rows.without(left_out) for rows in self._kept)), generator)  # noqa: SLF001
        return twin

    def forget(self) -> None:
        """Drop the positions."""
        self._kept = None

    def joined(self, features: Features) -> Tensor:
        """Features of each position, (B, D, h, w)."""
        return self.join(features, pooled=self.pooled)

    def _fit(self, sample: Sample, generator: torch.Generator) -> None:
        """Learn new layers from positions."""
        config, normal = self.config, sample.normal.values
        variance, mean = torch.var_mean(normal.index_select(0, sample.normal.kept), dim=0, correction=0)
        self.mean.copy_(mean)
        self.deviation.copy_(variance.sqrt().clamp(min=1e-6))
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
                    self._loss(sample).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                    optimiser.step()
        self.layers.eval()

    def _loss(self, sample: Sample) -> Tensor:
        """Cross-entropy of normal positions, of the same with noise, and of the hardest synthetic ones."""
        config, half = self.config, self.config.positions_per_step // 2
        drawn = [sample.normal.draw(config.positions_per_step), sample.inside.draw(half), sample.outside.draw(half)]
        normal, inside, outside = ((rows - self.mean) / self.deviation for rows in drawn)
        # Fresh noise in every step: a head learns a fixed set of noises by heart.
        parts = [normal, normal + config.noise_deviation * torch.randn_like(normal), inside, outside]
        logits = self.layers(torch.cat(parts))[:, 0]
        of_normal, of_noisy, of_inside, of_outside = logits.split([len(part) for part in parts])
        synthetic = torch.cat([F.softplus(-of_inside), F.softplus(of_outside)])
        hardest = synthetic.topk(max(1, round(config.hardest_fraction * len(synthetic)))).values
        return F.softplus(of_normal).mean() + F.softplus(-of_noisy).mean() + hardest.mean()
