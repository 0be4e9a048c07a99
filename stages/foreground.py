"""Find the object on every normal photograph: synthetic anomalies may lie there and nowhere else."""

import logging
from pathlib import Path
from typing import cast, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from tqdm import tqdm

from diffusionad.data.images import read_image
from diffusionad.data.manifest import read_manifest
from diffusionad.synthesis.foreground import ForegroundConfig, Method, foreground_mask
from stages import command
from stages.dataset import DatasetConfig
from stages.files import atomic_folder
from stages.params import read_section
from stages.paths import CategoryPaths
from stages.sheets import spread, write_sheet

LOG = logging.getLogger(__name__)

SHEET_PICTURES, SHEET_COLUMNS, TILE_PX = 24, 6, 192
OUTLINE = np.asarray([1, 0.15, 0.1], dtype=np.float32)


def foreground(
    config: ForegroundConfig, method: Method, *, manifest: Path, images: Path, masks: Path, sheet: Path
) -> None:
    """Write one mask for every normal image, and a sheet of outlines to look at.

    Args:
        config: The numbers of the methods.
        method: How to find the object.
        manifest: Read: rows with label 0, of all splits.
        images: Read: the folder that the manifest's paths are relative to.
        masks: Written whole or not at all: PNGs of 0 and 255 at native size, at the image's path with suffix .png.
        sheet: Written: outlines over evenly spread images.

    Raises:
        ValueError: If the manifest has no normal image, two of its images would share a mask's name, or one
            cannot be read.
    """
    rows = read_manifest(manifest)
    rows = rows[rows["label"] == 0]
    targets = _targets(manifest, rows)
    pictured = set(spread(len(targets), SHEET_PICTURES))
    pictures, fell_back = [], 0
    with atomic_folder(masks) as draft:
        for i, (name, target) in enumerate(tqdm(targets.items(), desc="foreground", unit="image", disable=None)):
            image = read_image(images / name, None)
            found = foreground_mask(config, method, image)
            fell_back += found.fell_back
            (draft / target).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(found.mask.astype(np.uint8) * 255).save(draft / target, format="PNG")
            if i in pictured:
                pictures.append(_outlined(image, found.mask))
    write_sheet(sheet, pictures, SHEET_COLUMNS, TILE_PX)
    if fell_back:
        LOG.warning("no credible object on %d of %d images: the whole image is taken", fell_back, len(targets))


def _targets(manifest: Path, rows: pd.DataFrame) -> dict[str, Path]:
    """The mask's path for each image's path, in the manifest's order."""
    if rows.empty:
        raise ValueError(f"{manifest}: no normal image; expected rows with label 0")
    targets = {str(name): Path(str(name)).with_suffix(".png") for name in rows["path"]}
    owners: dict[Path, str] = {}
    for name, target in targets.items():
        if owners.setdefault(target, name) != name:
            raise ValueError(f"{manifest}: {owners[target]} and {name} differ in their suffix only; rename one")
    return targets


def _outlined(image: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Draw the mask's inner border, wide enough to be seen on a tile."""
    width_px = max(1, max(mask.shape) // 100)
    inner = ndimage.minimum_filter(mask, 2 * width_px + 1, mode="constant")
    return np.where((mask & ~inner)[..., None], OUTLINE, image)


def _method(dataset: str, name: str) -> Method:
    if name not in (known := get_args(Method)):
        raise ValueError(f"params.yaml: `datasets.{dataset}.foreground`: expected {' or '.join(known)}, got {name!r}")
    return cast("Method", name)


def _stage(_: str, paths: CategoryPaths) -> None:
    foreground(
        read_section(ForegroundConfig, "foreground"),
        _method(paths.dataset, read_section(DatasetConfig, f"datasets.{paths.dataset}").foreground),
        manifest=paths.manifest,
        images=paths.images,
        masks=paths.foreground,
        sheet=paths.foreground_sheet,
    )


def main() -> None:
    command.run(_stage)


if __name__ == "__main__":
    main()
