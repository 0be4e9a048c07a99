"""From a coarse map to a smooth one at the size of the image."""

import math

import torch
import torch.nn.functional as F  # noqa: N812  # the name that torch's own documentation uses
from torch import Tensor


def enlarge(maps: Tensor, size: tuple[int, int], sigma: float) -> Tensor:
    """Interpolate maps (B, C, h, w) to `size` and blur them with a standard deviation of `sigma` pixels."""
    return blur(F.interpolate(maps, size=size, mode="bilinear", align_corners=False), sigma)


def blur(maps: Tensor, sigma: float) -> Tensor:
    """Gaussian blur of maps (B, C, H, W), cut at three standard deviations; the border counts as its own neighbour."""
    radius = math.ceil(3 * sigma)
    if radius == 0:
        return maps
    kernel = torch.exp(-0.5 * (torch.arange(-radius, radius + 1).to(maps) / sigma) ** 2)
    kernel = (kernel / kernel.sum()).reshape(1, 1, -1, 1)
    batch, channels, height, width = maps.shape
    padded = F.pad(maps.reshape(batch * channels, 1, height, width), [radius] * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, kernel), kernel.transpose(2, 3)).reshape(maps.shape)
