"""The segmentation sub-network: a U-Net on an image and its reconstruction (DiffusionAD, section IV-C).

Its shape is that of DRAEM's discriminative sub-network (arXiv:2108.07610), with one output channel.
"""

from itertools import pairwise

import torch
import torch.nn.functional as F  # noqa: N812  # the name that torch's own documentation uses
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from diffusionad.section import Section


class SegmenterConfig(Section):
    """Part `segmenter` of the settings of a detector."""

    base_channels: int = Field(gt=0, description="channels of the first level; the paper has 64")
    channel_multipliers: tuple[PositiveInt, ...] = Field(
        min_length=2, description="channels of each level, as a multiple of base_channels"
    )
    stem: int = Field(
        gt=0, description="side of the squares that are folded into channels, px; 1 folds none, as in the paper"
    )


class Segmenter(nn.Module):
    """Maps (image, reconstruction) to mask logits; above 0 means more likely anomalous than not.

    Args:
        config: Widths of the levels.
        inputs: Channels of image and reconstruction together.
    """

    def __init__(self, config: SegmenterConfig, inputs: int) -> None:
        super().__init__()
        widths = [config.base_channels * multiplier for multiplier in config.channel_multipliers]
        inputs *= config.stem**2
        self.stem = config.stem
        self.encoder = nn.ModuleList([double_conv(before, after) for before, after in pairwise([inputs, *widths])])
        self.up = nn.ModuleList()
        self.decoder = nn.ModuleList()
        channels = widths[-1]
        for level in range(len(widths) - 2, -1, -1):
            outputs = widths[max(level - 1, 0)]
            self.up.append(_conv(channels, outputs))
            self.decoder.append(double_conv(outputs + widths[level], outputs))
            channels = outputs
        self.last = nn.Conv2d(channels, config.stem**2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Compute mask logits.

        Args:
            x: Image and reconstruction stacked along the channels, shape (B, inputs, H, W).

        Returns:
            Mask logits, shape (B, 1, H, W).
        """
        x = F.pixel_unshuffle(x, self.stem)
        skips = []
        for level, block in enumerate(self.encoder):
            x = block(F.max_pool2d(x, 2) if level else x)
            skips.append(x)
        skips.pop()
        for up, block in zip(self.up, self.decoder, strict=True):
            x = up(F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True))
            x = block(torch.cat([x, skips.pop()], dim=1))
        logits: Tensor = F.pixel_shuffle(self.last(x), self.stem)
        return logits


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, 3, padding=1), nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def double_conv(inputs: int, outputs: int) -> nn.Sequential:
    """Build two 3 x 3 convolutions, each with batch normalisation and ReLU: (B, inputs, H, W) to (B, outputs, H, W)."""
    return nn.Sequential(*_conv(inputs, outputs), *_conv(outputs, outputs))
