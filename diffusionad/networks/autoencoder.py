"""A plain autoencoder, the first alternative to diffusion that DiffusionAD compares with (Table VII).

It is DRAEM's reconstructive sub-network (arXiv:2108.07610): a bottleneck without skip connections, through which only
what the training images show can pass.
"""

from itertools import pairwise

import torch.nn.functional as F  # noqa: N812  # the name that torch's own documentation uses
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from diffusionad.networks.segmenter import double_conv
from diffusionad.section import Section


class AutoencoderConfig(Section):
    """Part `autoencoder` of params/detectors/autoencoder.yaml."""

    base_channels: int = Field(gt=0, description="channels of the first level; DRAEM has 128")
    channel_multipliers: tuple[PositiveInt, ...] = Field(
        min_length=2, description="channels of each level, as a multiple of base_channels"
    )


class Autoencoder(nn.Module):
    """Maps images of shape (B, C, H, W) to reconstructions of the same shape, with unbounded values.

    Args:
        config: Widths of the levels.
        image_channels: C.
    """

    def __init__(self, config: AutoencoderConfig, image_channels: int) -> None:
        super().__init__()
        widths = [config.base_channels * multiplier for multiplier in config.channel_multipliers]
        self.encoder = nn.ModuleList(
            [double_conv(before, after) for before, after in pairwise([image_channels, *widths])]
        )
        self.decoder = nn.ModuleList([double_conv(before, after) for before, after in pairwise(widths[::-1])])
        self.last = nn.Conv2d(widths[0], image_channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """Reconstruct images x through the bottleneck.

        Args:
            x: Images, shape (B, C, H, W); H and W are divisible by 2 to the number of levels minus 1.

        Returns:
            Reconstructions, shape (B, C, H, W), unbounded.
        """
        for level, block in enumerate(self.encoder):
            x = block(F.max_pool2d(x, 2) if level else x)
        for block in self.decoder:
            x = block(F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=True))
        out: Tensor = self.last(x)
        return out
