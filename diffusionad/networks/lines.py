"""How much each position of a photograph looks like a part of a dark line: a crack, a cut, a hair."""

import math

import torch
import torch.nn.functional as F  # noqa: N812  # the name that torch's own documentation uses
from torch import Tensor

from diffusionad.networks.smoothing import blur

DIRECTIONS = 12
FLOOR = 2 / 255
"""Contrast that counts as none, so that the noise of an even surface is not blown up."""
GROUND, CONTRAST = 8.0, 16.0
"""Standard deviations of the blurs that give the local brightness and the local contrast, in pixels."""
POOLED = 2
"""Pixels per side that are averaged before the average along a line, and of which the highest counts after it."""


def dark_lines(grey: Tensor, width: float, length: float) -> Tensor:
    """Respond to dark lines in units of the local contrast.

    The second derivative across a line (of the image blurred to the width of the line, as in a ridge filter of
    Lindeberg, IJCV 30, 1998) is averaged along it, in `DIRECTIONS` directions, of which the strongest counts.

    Args:
        grey: Images, shape (B, 1, H, W); any unit in which 1 is white.
        width: Standard deviation across the line, in pixels.
        length: Standard deviation along the line, in pixels.

    Returns:
        Responses at a quarter of the size, rounded down but not below 1, shape (B, 1, h, w).
    """
    grey = F.pad(grey, [0, -grey.shape[3] % (2 * POOLED), 0, -grey.shape[2] % (2 * POOLED)], mode="replicate")
    detail = grey - _blur_coarsely(grey, GROUND)
    even = detail / (_blur_coarsely(detail.square(), CONTRAST).sqrt() + FLOOR)
    across = F.avg_pool2d(_second_derivatives(even, width), POOLED)
    kernels = _along(length / POOLED).to(grey)
    radius = kernels.shape[-1] // 2
    along = F.conv2d(F.pad(across, [radius] * 4, mode="replicate"), kernels, groups=DIRECTIONS)
    return F.max_pool2d(along.amax(dim=1, keepdim=True), POOLED)


def _blur_coarsely(x: Tensor, sigma: float) -> Tensor:
    """A wide blur, taken at a quarter of the size: in a tenth of the time."""
    coarse = blur(F.avg_pool2d(x, 2 * POOLED), sigma / (2 * POOLED))
    return F.interpolate(coarse, size=x.shape[2:], mode="bilinear", align_corners=False)


def _angles() -> list[float]:
    return [math.pi * k / DIRECTIONS for k in range(DIRECTIONS)]


def _second_derivatives(x: Tensor, sigma: float) -> Tensor:
    """Scale-free second derivatives across each direction, (B, DIRECTIONS, H, W)."""
    radius = math.ceil(3 * sigma)
    offsets = torch.arange(-radius, radius + 1).to(x)
    smooth = torch.exp(-0.5 * (offsets / sigma) ** 2)
    smooth = smooth / smooth.sum()
    first = -offsets / sigma * smooth
    second = ((offsets / sigma) ** 2 - 1) * smooth
    second = second - second.mean()  # nothing for a constant
    padded = F.pad(x, [radius] * 4, mode="replicate")

    def derive(down: Tensor, right: Tensor) -> Tensor:
        return F.conv2d(F.conv2d(padded, down.reshape(1, 1, -1, 1)), right.reshape(1, 1, 1, -1))

    parts = torch.cat([derive(smooth, second), derive(first, first), derive(second, smooth)], dim=1)
    turns = [[math.sin(a) ** 2, -2 * math.sin(a) * math.cos(a), math.cos(a) ** 2] for a in _angles()]
    return F.conv2d(parts, torch.tensor(turns).to(x)[:, :, None, None])


def _along(sigma: float) -> Tensor:
    """Kernels that average along each direction, (DIRECTIONS, 1, k, k); their sum is 1."""
    radius = math.ceil(2.5 * sigma)
    offsets = torch.arange(-radius, radius + 1, dtype=torch.float32)
    down, right = torch.meshgrid(offsets, offsets, indexing="ij")
    kernels = [
        torch.exp(
            -0.5 * ((right * math.cos(a) + down * math.sin(a)) / sigma) ** 2
            - 2 * (down * math.cos(a) - right * math.sin(a)) ** 2
        )
        for a in _angles()
    ]
    return torch.stack([kernel / kernel.sum() for kernel in kernels])[:, None]
