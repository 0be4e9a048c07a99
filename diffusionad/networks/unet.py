"""The denoiser: a U-Net with time embedding (Dhariwal and Nichol, arXiv:2105.05233; DiffusionAD, section IV-B).

It has residual blocks, attention at the resolutions that the config names, and BigGAN-style changes of resolution
inside residual blocks. A stem of s > 1 folds s x s pixels into channels and back, which makes a small net fast on a
CPU; the paper has s = 1.
"""

import math
from collections.abc import Mapping
from typing import Literal, TypeVar

import torch
import torch.nn.functional as F  # noqa: N812  # the name that torch's own documentation uses
from pydantic import Field, PositiveInt
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from diffusionad.section import Section

M = TypeVar("M", bound=nn.Module)

Shifts = Mapping[nn.Module, Tensor]
"""The term that a timestep adds in each residual block, shape (B, channels of the block) each."""


class UNetConfig(Section):
    """Part `unet` of the settings of a detector."""

    base_channels: int = Field(gt=0, description="channels of the first level; the paper has 128")
    channel_multipliers: tuple[PositiveInt, ...] = Field(
        min_length=1, description="channels of each level, as a multiple of base_channels"
    )
    num_res_blocks: int = Field(gt=0, description="residual blocks per level on the way down; one more on the way up")
    attention_resolutions: tuple[int, ...] = Field(description="widths of the feature maps with attention, px")
    num_heads: int = Field(gt=0, description="heads of each attention block")
    norm_groups: int = Field(gt=0, description="groups of each GroupNorm; must divide all channel counts")
    dropout: float = Field(ge=0, lt=1, description="share of the features dropped in training; the paper has 0")
    stem: int = Field(gt=0, description="side of the squares that are folded into channels, px; 1 folds none")


class UNet(nn.Module):
    """epsilon_theta: maps (x_t, t) to epsilon_hat.

    A new net predicts exactly zero: its last convolution, like every residual branch, starts at zero.

    Args:
        config: Widths, depths and attention.
        image_channels: C, the channels of the images and of the noise.
        image_width: Width of the images, px; it decides which levels have attention.

    Raises:
        ValueError: If norm_groups or num_heads does not divide a channel count, or base_channels is odd.
    """

    def __init__(self, config: UNetConfig, image_channels: int, image_width: int) -> None:
        super().__init__()
        _check(config)
        base, groups = config.base_channels, config.norm_groups
        embedding = 4 * base
        self.stem, self.time_channels = config.stem, base
        self.checkpointing = False  # of training: keep no activations inside blocks, compute them again going back
        self.time = nn.Sequential(nn.Linear(base, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.first = nn.Conv2d(image_channels * config.stem**2, base, 3, padding=1)

        def level_block(inputs: int, outputs: int, width: int) -> "_Steps":
            steps: list[nn.Module] = [ResBlock(inputs, outputs, embedding, config)]
            if width in config.attention_resolutions:
                steps.append(Attention(outputs, config.num_heads, groups))
            return _Steps(steps)

        self.down = nn.ModuleList()
        channels, width, skips = base, image_width // config.stem, [base]
        for level, multiplier in enumerate(config.channel_multipliers):
            for _ in range(config.num_res_blocks):
                self.down.append(level_block(channels, base * multiplier, width))
                channels = base * multiplier
                skips.append(channels)
            if level + 1 < len(config.channel_multipliers):
                self.down.append(_Steps([ResBlock(channels, channels, embedding, config, resample="down")]))
                skips.append(channels)
                width //= 2
        self.middle = _Steps(
            [
                ResBlock(channels, channels, embedding, config),
                Attention(channels, config.num_heads, groups),
                ResBlock(channels, channels, embedding, config),
            ]
        )
        self.up = nn.ModuleList()
        for level, multiplier in reversed(list(enumerate(config.channel_multipliers))):
            for index in range(config.num_res_blocks + 1):
                block = level_block(channels + skips.pop(), base * multiplier, width)
                channels = base * multiplier
                if level > 0 and index == config.num_res_blocks:
                    block.append(ResBlock(channels, channels, embedding, config, resample="up"))
                    width *= 2
                self.up.append(block)
        self.last = nn.Sequential(
            nn.GroupNorm(groups, channels),
            nn.SiLU(),
            _zero(nn.Conv2d(channels, image_channels * config.stem**2, 3, padding=1)),
        )

    def forward(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Predict the noise in images.

        Args:
            x_t: Noised images, shape (B, C, H, W).
            t: Timesteps, shape (B,), int64.

        Returns:
            epsilon_hat, shape (B, C, H, W).
        """
        return self.predict(x_t, self.shifts(t.to(x_t.device), x_t.dtype))

    def shifts(self, t: Tensor, dtype: torch.dtype) -> Shifts:
        """Compute the whole effect of timesteps t, shape (B,), on the net; for fixed timesteps, once is enough."""
        embedding = self.time(time_embedding(t, self.time_channels).to(dtype))  # (B, 4 base)
        return {block: block.time(F.silu(embedding)) for block in self.modules() if isinstance(block, ResBlock)}

    def predict(self, x_t: Tensor, shifts: Shifts) -> Tensor:
        """Predict epsilon_hat, shape (B, C, H, W), for x_t of the same shape, given the shifts of its timesteps."""
        h = self.first(F.pixel_unshuffle(x_t, self.stem))
        skips = [h]
        for block in self.down:
            h = self._run(block, h, shifts)
            skips.append(h)
        h = self._run(self.middle, h, shifts)
        for block in self.up:
            h = self._run(block, torch.cat([h, skips.pop()], dim=1), shifts)
        out: Tensor = F.pixel_shuffle(self.last(h), self.stem)
        return out

    def _run(self, block: nn.Module, h: Tensor, shifts: Shifts) -> Tensor:
        if self.checkpointing and torch.is_grad_enabled():
            kept: Tensor = checkpoint(block, h, shifts, use_reentrant=False)
            return kept
        out: Tensor = block(h, shifts)
        return out


class ResBlock(nn.Module):
    """Two normalised convolutions with the time embedding added between them, around a skip connection.

    With `resample`, the map is halved (2 x 2 mean) or doubled (nearest) before the first convolution and on the skip.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        embedding: int,
        config: UNetConfig,
        resample: Literal["down", "up"] | None = None,
    ) -> None:
        super().__init__()
        self.resample = resample
        self.norm_1 = nn.GroupNorm(config.norm_groups, inputs)
        self.conv_1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.time = nn.Linear(embedding, outputs)
        self.norm_2 = nn.GroupNorm(config.norm_groups, outputs)
        self.dropout = nn.Dropout(config.dropout)
        self.conv_2 = _zero(nn.Conv2d(outputs, outputs, 3, padding=1))
        self.skip = nn.Identity() if inputs == outputs else nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor, shifts: Shifts) -> Tensor:
        """Transform features x, shape (B, inputs, H, W), with the shifts of the timesteps."""
        h = F.silu(self.norm_1(x))
        if self.resample == "down":
            h, x = F.avg_pool2d(h, 2), F.avg_pool2d(x, 2)
        elif self.resample == "up":
            h, x = F.interpolate(h, scale_factor=2.0), F.interpolate(x, scale_factor=2.0)
        h = self.conv_1(h) + shifts[self][:, :, None, None]
        h = self.conv_2(self.dropout(F.silu(self.norm_2(h))))
        out: Tensor = self.skip(x) + h
        return out


class Attention(nn.Module):
    """Self-attention over the pixels of a feature map, added to it."""

    def __init__(self, channels: int, num_heads: int, norm_groups: int) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.norm = nn.GroupNorm(norm_groups, channels)
        self.to_qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.out = _zero(nn.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor, _shifts: Shifts) -> Tensor:
        """Mix features x, shape (B, C, H, W), over all pixels; the timestep has no effect here."""
        batch, channels, _, _ = x.shape
        qkv = self.to_qkv(self.norm(x).flatten(2))  # (B, 3 C, H W)
        # Each head holds its own q, k and v side by side, as in the reference's checkpoints.
        heads = qkv.reshape(batch, self.num_heads, 3 * channels // self.num_heads, -1).transpose(2, 3)
        q, k, v = heads.chunk(3, dim=-1)
        h = F.scaled_dot_product_attention(q, k, v)  # (B, heads, H W, C / heads)
        out: Tensor = self.out(h.transpose(2, 3).reshape(batch, channels, -1))
        return x + out.reshape(x.shape)


class _Steps(nn.ModuleList):
    """A sequence of blocks that all get the shifts of the timesteps."""

    def forward(self, x: Tensor, shifts: Shifts) -> Tensor:
        for block in self:
            x = block(x, shifts)
        return x


def time_embedding(t: Tensor, channels: int) -> Tensor:
    """Compute sines and cosines of t at geometrically spaced frequencies.

    Args:
        t: Timesteps, shape (B,).
        channels: Channels of the embedding, even.

    Returns:
        float32 in [-1, 1], shape (B, channels), sines first.
    """
    half = channels // 2
    frequencies = torch.exp(-math.log(10_000) / half * torch.arange(half, device=t.device, dtype=torch.float32))
    angles = t.float()[:, None] * frequencies[None]  # (B, channels / 2)
    return torch.cat([angles.sin(), angles.cos()], dim=1)


def _zero(module: M) -> M:
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def _check(config: UNetConfig) -> None:
    if config.base_channels % 2:
        raise ValueError(f"`unet`: base_channels = {config.base_channels} is odd; sine and cosine need half each")
    levels = [config.base_channels * multiplier for multiplier in config.channel_multipliers]
    # The first convolution has base_channels, which need not be the width of a level.
    needs = {
        "norm_groups": (config.norm_groups, [config.base_channels, *levels]),
        "num_heads": (config.num_heads, levels),
    }
    for name, (divisor, widths) in needs.items():
        for channels in widths:
            if channels % divisor:
                raise ValueError(f"`unet`: {name} = {divisor} does not divide the {channels} channels of a level")
