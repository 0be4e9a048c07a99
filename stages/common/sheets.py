"""Contact sheets: many small pictures in one PNG."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from stages.files import atomic_file

GAP_PX = 4
PAPER = 255


def write_sheet(path: Path, pictures: Sequence[NDArray[np.float32]], columns: int, tile_px: int) -> None:
    """Lay pictures out row by row, each scaled to fit a square tile and centred in it.

    Args:
        path: The PNG, written atomically. Its bytes depend on the arguments alone.
        pictures: At least one; RGB in [0, 1], shape (H, W, 3) each.
        columns: Tiles per row.
        tile_px: Side of a tile, px.
    """
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    step = tile_px + GAP_PX
    sheet = Image.new("RGB", (columns * step + GAP_PX, rows * step + GAP_PX), (PAPER, PAPER, PAPER))
    for i, picture in enumerate(pictures):
        tile = _fit(picture, tile_px)
        left = GAP_PX + i % columns * step + (tile_px - tile.width) // 2
        top = GAP_PX + i // columns * step + (tile_px - tile.height) // 2
        sheet.paste(tile, (left, top))
    with atomic_file(path) as draft:
        sheet.save(draft, format="PNG")


def _fit(picture: NDArray[np.float32], tile_px: int) -> Image.Image:
    image = Image.fromarray(np.round(picture * 255).astype(np.uint8))
    scale = tile_px / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    # Enlarged pixels stay squares: a mask of one pixel must not look like a cloud.
    return image.resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST)
