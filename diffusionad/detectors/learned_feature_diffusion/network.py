"""A small U-Net over the features of positions: the denoiser that is learned, where a memory would grow too large.

It predicts v = sqrt(alpha_bar_t) epsilon - sqrt(1 - alpha_bar_t) x_0 (Salimans and Ho, arXiv:2202.00512, section 4).
Then x_0_hat = sqrt(alpha_bar_t) x_t - sqrt(1 - alpha_bar_t) v_hat passes on what the net does not know, so that a net
that is narrower than the features can do with what it knows of them.
"""

import torch
import torch.nn.functional as F  # noqa: N812  # the name that torch's own documentation uses
from torch import Tensor, nn

from diffusionad.networks.unet import time_embedding

TIME_CHANNELS = 32
EMBEDDING = 64
POSITIONS = 8
"""Side of the map of positions, which is stretched over the image: what is usual where."""


class FeatureUNet(nn.Module):
    """v_theta: maps (x_t, t) and the place in the image to v_hat.

    A new net predicts zero: its last layer starts at zero.

    Args:
        features: D, the channels of the features.
        channels: Channels at the grid of the features; there are a third more at half of it.
    """

    def __init__(self, features: int, channels: int) -> None:
        super().__init__()
        wide = channels * 4 // 3
        self.time = nn.Sequential(nn.Linear(TIME_CHANNELS, EMBEDDING), nn.SiLU(), nn.Linear(EMBEDDING, EMBEDDING))
        self.places = nn.Parameter(torch.zeros(1, channels, POSITIONS, POSITIONS))
        self.first = nn.Conv2d(features, channels, 1)
        self.before = Block(channels)
        self.down = nn.Conv2d(channels, wide, 2, stride=2)
        self.middle = nn.ModuleList([Block(wide), Block(wide)])
        self.up = nn.Conv2d(wide, channels, 1)
        self.after = Block(channels)
        self.last = nn.Conv2d(channels, features, 1)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]  # it has one

    def forward(self, x_t: Tensor, t: Tensor, places: Tensor) -> Tensor:
        """Predict v, (B, D, h, w).

        Args:
            x_t: Noised features, (B, D, h, w).
            t: Timesteps, (B,).
            places: The part of `places_of` that x_t shows, (B or 1, channels, h, w).
        """
        time = self.time(time_embedding(t, TIME_CHANNELS).to(x_t))
        h: Tensor = self.before(self.first(x_t) + places, time)
        height, width = h.shape[2:]
        low = self.down(F.pad(h, (0, width % 2, 0, height % 2)))
        for block in self.middle:
            low = block(low, time)
        h = h + F.interpolate(self.up(low), scale_factor=2.0, mode="nearest")[..., :height, :width]
        v_hat: Tensor = self.last(self.after(h, time))
        return v_hat

    def places_of(self, grid: tuple[int, int]) -> Tensor:
        """What is learned of each place of a grid, (1, channels, h, w)."""
        return F.interpolate(self.places, size=grid, mode="bilinear", align_corners=False)


class Block(nn.Module):
    """Mixes 5 x 5 neighbours in each channel, then the channels of each position, depending on the timestep."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mix = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.norm = nn.GroupNorm(1, channels)
        self.film = nn.Linear(EMBEDDING, 2 * channels)
        self.channels = nn.Sequential(
            nn.Conv2d(channels, 2 * channels, 1), nn.GELU(), nn.Conv2d(2 * channels, channels, 1)
        )

    def forward(self, h: Tensor, time: Tensor) -> Tensor:
        """Change h, (B, channels, h, w), by the embedding of its timestep, (B, EMBEDDING)."""
        scale, shift = self.film(time)[:, :, None, None].chunk(2, dim=1)
        changed: Tensor = self.channels(self.norm(self.mix(h)) * (1 + scale) + shift)
        return h + changed
