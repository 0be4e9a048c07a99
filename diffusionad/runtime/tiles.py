"""Images larger than a model's input: tiles that overlap, and one map put together from theirs."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from PIL import Image
from torch import Tensor

from diffusionad.data.decode import load, open_image, read_bytes


class Tile(NamedTuple):
    """Position of a tile's upper left corner in the image, px."""

    top: int
    left: int


class Mosaic:
    """The tiles of one image, and the map that is the weighted mean of the maps of the tiles.

    The farther a pixel lies from the border of a tile, near which a network sees less context, the more it weighs.
    Weights are products of a row weight and a column weight, and so are their sums: beside the image, only one map and
    the tiles in progress are in memory.

    Args:
        image: A path or a PIL image.
        tile: (height, width) of a tile in pixels.
        overlap: Smallest number of pixels that neighbouring tiles share.

    Raises:
        ValueError: If the image cannot be read or is smaller than a tile, or the overlap is not below half a tile.
    """

    def __init__(self, image: str | Path | Image.Image, tile: tuple[int, int], overlap: int) -> None:
        name = "PIL image" if isinstance(image, Image.Image) else str(image)
        opened = image if isinstance(image, Image.Image) else open_image(read_bytes(Path(image)), name)
        self.image = load(opened, name)
        self.tile = tile
        if self.image.height < tile[0] or self.image.width < tile[1]:
            raise ValueError(
                f"{name}: {self.image.height} x {self.image.width} px is smaller than a tile of "
                f"{tile[0]} x {tile[1]} px, the model's size; predict it whole"
            )
        if not 0 <= overlap < min(tile) / 2:
            raise ValueError(f"overlap: expected 0 to {(min(tile) - 1) // 2} px, below half a tile, got {overlap}")
        self._rows, self._columns = (
            _starts(length, side, overlap)
            for length, side in zip((self.image.height, self.image.width), tile, strict=True)
        )
        self._ramps = [_ramp(side, overlap) for side in tile]
        self._sum = torch.zeros(self.image.height, self.image.width)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of tiles."""
        return len(self._rows), len(self._columns)

    def tiles(self) -> Iterator[tuple[Tile, Image.Image]]:
        """Cut the tiles, row by row."""
        for top in self._rows:
            for left in self._columns:
                yield Tile(top, left), self.image.crop((left, top, left + self.tile[1], top + self.tile[0]))

    def add(self, tile: Tile, values: Tensor) -> None:
        """Add the map of a tile, shape (height, width) of a tile, to the map of the image."""
        rows, columns = (slice(start, start + side) for start, side in zip(tile, self.tile, strict=True))
        self._sum[rows, columns] += values * self._ramps[0][:, None] * self._ramps[1]

    def whole(self) -> Tensor:
        """Return the map of the image, (H, W); call it once, after the last tile."""
        for axis, starts in enumerate((self._rows, self._columns)):
            total = torch.zeros(self._sum.shape[axis])
            for start in starts:
                total[start : start + self.tile[axis]] += self._ramps[axis]
            self._sum /= total[:, None] if axis == 0 else total
        return self._sum


def _starts(length: int, tile: int, overlap: int) -> list[int]:
    """Compute evenly spread starts of tiles that cover `length` pixels and share at least `overlap` of them."""
    count = 1 + -(-(length - tile) // (tile - overlap))
    return [round(index * (length - tile) / max(count - 1, 1)) for index in range(count)]


def _ramp(side: int, overlap: int) -> Tensor:
    """Weights along a side: 1 inside, falling towards both ends over the overlap, never 0."""
    distance = torch.arange(1, side + 1, dtype=torch.float32)
    return (torch.minimum(distance, distance.flip(0)) / (overlap + 1)).clamp(max=1)
