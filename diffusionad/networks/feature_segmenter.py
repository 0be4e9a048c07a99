"""The segmentation sub-network on learned features: where an image differs from its reconstruction, and how.

The paper's segmenter (DiffusionAD, section IV-C) takes pixels, and with few images it learns to ignore the
reconstruction. This one takes feature maps of a frozen network for the image, and their absolute difference to those of
the reconstruction.
"""

import torch
import torch.nn.functional as F  # noqa: N812  # the name that torch's own documentation uses
from pydantic import Field, PositiveInt
from torch import Tensor, nn

from diffusionad.networks.efficientnet import LEVELS, EfficientNetLite0
from diffusionad.networks.segmenter import double_conv
from diffusionad.section import Section

USED_LEVELS = (0, 1, 2, 4)
"""The levels of EfficientNet-Lite0 that are used: the last ones at 1/2, 1/4, 1/8 and 1/16 of the image's side."""


class FeatureSegmenterConfig(Section):
    """Part `feature_segmenter` of the settings of a detector."""

    widths: tuple[PositiveInt, PositiveInt, PositiveInt, PositiveInt] = Field(
        description="channels of the decoder at 1/2, 1/4, 1/8 and 1/16 of the image's side"
    )


class FeatureSegmenter(nn.Module):
    """Maps (image, reconstruction) to mask logits; above 0 means more likely anomalous than not.

    The encoder takes no gradient and passes none on: the reconstruction learns from its own loss only.
    """

    def __init__(self, config: FeatureSegmenterConfig) -> None:
        super().__init__()
        self.encoder = EfficientNetLite0(USED_LEVELS)
        self.norms = nn.ModuleList()
        self.decoder = nn.ModuleList()
        coarser = (*config.widths[1:], 0)
        for level, width, below in zip(USED_LEVELS, config.widths, coarser, strict=True):
            seen = 2 * LEVELS[level].channels
            self.norms.append(nn.BatchNorm2d(seen))
            self.decoder.append(double_conv(seen + below, width))
        self.last = nn.Conv2d(config.widths[0], 4, 3, padding=1)

    def forward(self, image: Tensor, reconstruction: Tensor) -> Tensor:
        """Compute mask logits.

        Args:
            image: RGB in [0, 1], shape (B, 3, H, W), H and W even.
            reconstruction: RGB in [0, 1], shape (B, 3, H, W).

        Returns:
            Mask logits, shape (B, 1, H, W).
        """
        with torch.no_grad():
            maps = self.encoder(torch.cat([image, reconstruction]))
        x: Tensor | None = None
        for both, norm, block in reversed(list(zip(maps, self.norms, self.decoder, strict=True))):
            of_image, of_reconstruction = both.chunk(2)
            seen = norm(torch.cat([of_image, (of_image - of_reconstruction).abs()], dim=1))
            if x is not None:
                x = F.interpolate(x, size=seen.shape[2:], mode="bilinear", align_corners=False)
                seen = torch.cat([seen, x], dim=1)
            x = block(seen)
        logits: Tensor = F.pixel_shuffle(self.last(x), 2)
        return logits
