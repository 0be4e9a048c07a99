"""A plain autoencoder, the paper's first rival of the diffusion (Table VII) and the generator of DRAEM.

DRAEM's reconstructive sub-network (arXiv:2108.07610): a bottleneck and no skip connections, so that what the training
images never showed does not pass.
"""

from itertools import pairwise

import torch.nn.functional as F  # noqa: N812  # the name that torch's own documentation uses
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from diffusionad.networks.segmenter import double_conv
from diffusionad.section import Section


class AutoencoderConfig(Section):
    """Part `autoencoder` of section `model`."""

    base_channels: int = Field(gt=0, description="channels of the first level; DRAEM has 128")
    channel_multipliers: tuple[PositiveInt, ...] = Field(
        min_length=2, description="channels of each level, in base_channels"
    )


class Autoencoder(nn.Module):
    """Images of shape (B, C, H, W) -> reconstructions of the same shape, unbounded."""

    def __init__(self, config: AutoencoderConfig, image_channels: int) -> None:
        super().__init__()
        widths = [config.base_channels * multiplier for multiplier in config.channel_multipliers]
        self.encoder = nn.ModuleList(
            [double_conv(before, after) for before, after in pairwise([image_channels, *widths])]
        )
        self.decoder = nn.ModuleList([double_conv(before, after) for before, after in pairwise(widths[::-1])])
        self.last = nn.Conv2d(widths[0], image_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Squeeze images through the bottleneck."""
        for level, block in enumerate(self.encoder):
            x = block(F.max_pool2d(x, 2) if level else x)
        for block in self.decoder:
            x = block(F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True))
        out: Tensor = self.last(x)
        return out
