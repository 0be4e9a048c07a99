"""The learned denoiser, whose size does not grow with the images, and the distance of a patch to its reconstruction."""

from typing import Literal, Self

import torch
import torch.nn.functional as F  # noqa: N812  # the name that torch's own documentation uses
from pydantic import Field, model_validator
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from diffusionad.detectors.learned_feature_diffusion.network import FeatureUNet
from diffusionad.detectors.shared.frozen import Cache, Features, Judge, stride_of, take
from diffusionad.detectors.shared.residual import whitening_of
from diffusionad.diffusion.process import q_sample
from diffusionad.diffusion.schedule import NoiseSchedule, ScheduleConfig
from diffusionad.networks.efficientnet import LEVELS
from diffusionad.section import Section

READ_AT_ONCE = 16
MEASURED = 40
"""Normal images whose residuals say what is usual in each direction."""
WARM_UP = 0.1
"""Share of the steps in which the learning rate rises."""


class NetworkConfig(Section):
    """How the denoiser is built, learned and used."""

    levels: tuple[int, ...] = Field(min_length=1, description="levels of the backbone that are joined; rising")
    channels: int = Field(gt=0, multiple_of=3, description="width of the denoiser")
    schedule: ScheduleConfig
    t_s: int = Field(ge=0, description="small step of the norm guidance")
    t_b: int = Field(ge=0, description="big step")
    scale: float = Field(ge=0, description="w, strength of the guidance, eq. (7); 0 leaves the big step out")
    residual: Literal["raw", "whitened"] = Field(
        description="distance to the reconstruction: Euclidean, or in units of what is usual in each direction"
    )
    smoothing_fraction: float = Field(
        ge=0, description="standard deviation of the blur of the map, as a share of the image's shorter side"
    )
    steps: int = Field(gt=0, description="optimiser steps")
    crops_per_step: int = Field(gt=0, description="parts of normal images in a step")
    crop: int = Field(gt=0, description="side of a part, in positions")
    learning_rate: float = Field(gt=0, description="largest, of AdamW; it rises for a tenth of the steps, then falls")
    ema_decay: float = Field(ge=0, lt=1, description="decay of the average of the weights, which is what is used")

    @model_validator(mode="after")
    def _steps_in_schedule(self) -> Self:
        if not self.t_s < self.t_b < self.schedule.num_timesteps:
            raise ValueError(
                f"expected t_s < t_b < num_timesteps, got {self.t_s}, {self.t_b} and {self.schedule.num_timesteps}"
            )
        return self


class Learned(Judge):
    """Distance of each patch to its norm-guided reconstruction by a network.

    x_0 is the feature of a position in standard deviations of its channels. The noise is drawn once and kept, so that
    the same image always has the same score.

    Args:
        config: How the denoiser is built, learned and used.
        image_size: (height, width) in pixels.
        sigma: Standard deviation of the blur of the map, in pixels.
    """

    mean: Tensor
    """(D, 1, 1): mean of each channel over positions of normal images."""
    deviation: Tensor
    """(D, 1, 1): standard deviation of each channel."""
    noise: Tensor
    """(2, D, h, w): epsilon of the small step and of the big one."""
    whitening: Tensor
    """(D, D): maps a residual to one whose length is its distance."""

    def __init__(self, config: NetworkConfig, image_size: tuple[int, int], sigma: float) -> None:
        super().__init__(config.levels, min(map(stride_of, config.levels)), sigma)
        self.config = config
        channels = sum(LEVELS[level].channels for level in config.levels)
        grid = (-(-image_size[0] // self.stride), -(-image_size[1] // self.stride))
        self.schedule = NoiseSchedule(config.schedule)
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("deviation", torch.ones(channels, 1, 1))
        self.register_buffer("noise", torch.zeros(2, channels, *grid))
        if config.residual == "whitened":
            self.register_buffer("whitening", torch.eye(channels))
        self.network = FeatureUNet(channels, config.channels)

    def forward(self, features: Features) -> Tensor:
        """Distances, (B, 1, h, w)."""
        residual = self.residual((self.join(features, pooled=True) - self.mean) / self.deviation)
        if self.config.residual == "whitened":
            residual = torch.einsum("bchw,cd->bdhw", residual, self.whitening)
        return residual.square().sum(dim=1, keepdim=True).sqrt()

    def residual(self, x_0: Tensor) -> Tensor:
        """x_0 less its reconstruction by eq. (6) to (8), in the shape of x_0, (B, D, h, w)."""
        config = self.config
        x_0_hat = self.reconstruct(x_0, config.t_s, self.noise[0])
        if config.scale > 0:
            weight = config.scale * (1 - float(self.schedule.alphas_bar[config.t_s]))
            x_0_hat = x_0_hat + weight * (self.reconstruct(x_0, config.t_b, self.noise[1]) - x_0_hat)
        return x_0 - x_0_hat

    def reconstruct(self, x_0: Tensor, step: int, epsilon: Tensor) -> Tensor:
        """One-step reconstruction from noise up to `step`; x_0 and the result are (B, D, h, w)."""
        alpha_bar = float(self.schedule.alphas_bar[step])
        x_t = alpha_bar**0.5 * x_0 + (1 - alpha_bar) ** 0.5 * epsilon
        t = torch.full((1,), step, device=x_0.device)
        v_hat = self.network(x_t, t, self.network.places_of((x_0.shape[2], x_0.shape[3])))
        x_0_hat: Tensor = alpha_bar**0.5 * x_t - (1 - alpha_bar) ** 0.5 * v_hat
        return x_0_hat

    @torch.no_grad()
    def learn(self, cache: Cache, generator: torch.Generator) -> None:
        """Learn to denoise the features of all images."""
        count = len(cache.folds)
        x_0 = torch.cat(
            [
                self.join(take(cache.normal, places), pooled=True).half()
                for places in torch.split(torch.arange(count), READ_AT_ONCE)
            ]
        )
        moments = [(part.float().mean(dim=(1, 2)), part.float().square().mean(dim=(1, 2))) for part in x_0]
        mean, square = (torch.stack(each).mean(dim=0) for each in zip(*moments, strict=True))
        self.mean.copy_(mean[:, None, None])
        self.deviation.copy_((square - mean.square()).clamp(min=1e-12).sqrt().clamp(min=1e-6)[:, None, None])
        self.noise.copy_(torch.randn(self.noise.shape, generator=generator))
        self._fit(x_0, generator)
        if self.config.residual == "whitened":
            chosen = torch.linspace(0, count - 1, min(count, MEASURED)).round().long()
            parts = [self.residual((x_0[places].float() - self.mean) / self.deviation) for places in chosen[:, None]]
            self.whitening.copy_(whitening_of(torch.cat(parts).permute(0, 2, 3, 1).flatten(0, 2)))

    def without(self, _left_out: Tensor, _generator: torch.Generator) -> None:
        """Learning four times more takes too long: held-out images set the scale."""

    def _fit(self, x_0: Tensor, generator: torch.Generator) -> None:
        config, device = self.config, self.mean.device
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(int(torch.randint(2**31, (), generator=generator)))
            self.network = FeatureUNet(x_0.shape[1], config.channels).to(device)
            optimiser = torch.optim.AdamW(self.network.parameters(), lr=config.learning_rate)
            rate = torch.optim.lr_scheduler.OneCycleLR(
                optimiser, config.learning_rate, total_steps=config.steps, pct_start=WARM_UP
            )
            average = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(config.ema_decay))  # type: ignore[no-untyped-call]  # torch leaves it untyped
            with torch.enable_grad():
                for step in range(config.steps):
                    optimiser.zero_grad(set_to_none=True)
                    self._loss(x_0).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                    torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
                    optimiser.step()
                    if step + 1 < config.steps:
                        rate.step()
                    average.update_parameters(self.network)
        self.network.load_state_dict(average.module.state_dict())
        self.network.eval()

    def _loss(self, features: Tensor) -> Tensor:
        """Squared error of v on parts of images, each with noise up to a step of its own."""
        count, (height, width), device = self.config.crops_per_step, features.shape[2:], self.mean.device
        tall, wide = min(self.config.crop, height), min(self.config.crop, width)
        images = torch.randint(len(features), (count,)).tolist()
        rows, columns = (torch.randint(n + 1, (count,)).tolist() for n in (height - tall, width - wide))
        spots = [(..., slice(r, r + tall), slice(c, c + wide)) for r, c in zip(rows, columns, strict=True)]
        drawn = torch.stack([features[image][spot] for image, spot in zip(images, spots, strict=True)]).float()
        places = self.network.places_of((height, width))
        x_0 = (drawn - self.mean) / self.deviation
        t = torch.randint(self.config.schedule.num_timesteps, (count,), device=device)
        alpha_bar, epsilon = self.schedule.alpha_bar(t, like=x_0), torch.randn_like(x_0)
        x_t = q_sample(self.schedule, x_0, t, epsilon)
        v = alpha_bar.sqrt() * epsilon - (1 - alpha_bar).sqrt() * x_0
        return F.mse_loss(self.network(x_t, t, torch.cat([places[spot] for spot in spots])), v)
