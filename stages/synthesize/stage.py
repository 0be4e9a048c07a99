"""Write the fixed synthetic sets for model selection and, without real masks, for pixel metrics."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from tqdm import tqdm

from diffusionad.data.images import read_image, read_mask
from diffusionad.data.manifest import read_manifest
from diffusionad.data.ranges import evenly_spaced
from diffusionad.section import Section
from diffusionad.synthesis.blend import SynthesisConfig, Synthetic, draw_anomaly
from diffusionad.synthesis.draws import item_generator
from diffusionad.synthesis.textures import Textures
from stages import command
from stages.common.schemas import write_document
from stages.common.sheets import write_sheet
from stages.files import atomic_folder
from stages.params import read_image_size, read_section
from stages.paths import CategoryPaths

PREVIEW_IMAGES, PREVIEWS_PER_ROW, TILE_PX = 24, 3, 128


class SyntheticSetsConfig(Section):
    """Section `synthesis` of params.yaml."""

    seed: int = Field(ge=0, description="seed of the stored sets; training has its own")
    count_per_image: int = Field(ge=1, description="stored anomalies per normal image")
    anomalies: SynthesisConfig


class NormalImages(NamedTuple):
    """Where normal images and their foreground masks are stored, and the size to read them at."""

    images: Path
    foreground: Path
    size: tuple[int, int]
    """Height and width in pixels."""


def synthesize(
    config: SyntheticSetsConfig,
    size: tuple[int, int],
    *,
    manifest: Path,
    images: Path,
    foreground: Path,
    synthetic: Path,
    previews: Path,
) -> None:
    """Write `val.npz`, `test.npz` if the test split has no mask at all, and the settings for further draws.

    An .npz file holds `images` (N, H, W, 3) in 0 .. 255 and `masks` (N, H, W) of 0 and 1, both uint8; `paths` (N,), the
    normal image under each; `indices` (N,), the number of the draw on that image. Every image is anomalous. The bytes
    depend only on the arguments and the files read.

    Args:
        config: Settings of the sets and the anomalies.
        size: Height and width of the stored images in pixels.
        manifest: Read: the manifest; its normal rows are used.
        images: Read: the folder that the manifest's paths are relative to.
        foreground: Read: the masks that stage `foreground` wrote.
        synthetic: Written atomically: folder of the sets and `settings.json`, a SynthesisConfig.
        previews: Written: PNG, triplets of training image, anomaly and mask.

    Raises:
        ValueError: If there is no normal image in split train or val, or a file cannot be read.
    """
    rows = read_manifest(manifest)
    normal = {split: rows[(rows["split"] == split) & (rows["label"] == 0)] for split in ("train", "val", "test")}
    for split in ("train", "val"):
        if normal[split].empty:
            raise ValueError(f"{manifest}: no normal image in split {split}; lower or raise the share of val images")
    normal_images = NormalImages(images, foreground, size)
    textures = Textures(config.anomalies.textures, size)
    with atomic_folder(synthetic) as draft:
        _write_set(draft / "val.npz", config, normal_images, textures, normal["val"])
        if rows.loc[rows["split"] == "test", "mask"].isna().all() and not normal["test"].empty:
            _write_set(draft / "test.npz", config, normal_images, textures, normal["test"])
        write_document(draft / "settings.json", config.anomalies)
    train = normal["train"]
    _write_previews(previews, config, normal_images, textures, train.iloc[evenly_spaced(len(train), PREVIEW_IMAGES)])


def _write_set(
    path: Path, config: SyntheticSetsConfig, normal_images: NormalImages, textures: Textures, rows: pd.DataFrame
) -> None:
    count = len(rows) * config.count_per_image
    pictures = np.zeros((count, *normal_images.size, 3), dtype=np.uint8)
    masks = np.zeros((count, *normal_images.size), dtype=np.uint8)
    items = list(zip(rows["path"], rows["sha256"], strict=True))
    for i, (name, sha256) in enumerate(tqdm(items, desc=f"synthesize {path.stem}", unit="image", disable=None)):
        normal, where = _read(normal_images, name)
        for index in range(config.count_per_image):
            drawn = _draw(config, normal, where, textures, sha256, index)
            at = i * config.count_per_image + index
            pictures[at], masks[at] = np.round(drawn.image * 255), drawn.mask
    names = np.repeat(np.asarray([name for name, _ in items]), config.count_per_image)
    indices = np.tile(np.arange(config.count_per_image), len(items))
    # Not compressed: the output of zlib differs between its versions.
    np.savez(path, images=pictures, masks=masks, paths=names, indices=indices)


def _write_previews(
    path: Path, config: SyntheticSetsConfig, normal_images: NormalImages, textures: Textures, rows: pd.DataFrame
) -> None:
    tiles: list[NDArray[np.float32]] = []
    for name, sha256 in zip(rows["path"], rows["sha256"], strict=True):
        normal, where = _read(normal_images, name)
        drawn = _draw(config, normal, where, textures, sha256, 0)
        tiles += [normal, drawn.image, np.repeat(drawn.mask[..., None], 3, axis=2).astype(np.float32)]
    write_sheet(path, tiles, 3 * PREVIEWS_PER_ROW, TILE_PX)


def _read(normal_images: NormalImages, name: str) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    mask = (normal_images.foreground / name).with_suffix(".png")
    return read_image(normal_images.images / name, normal_images.size), read_mask(mask, normal_images.size)


def _draw(
    config: SyntheticSetsConfig,
    normal: NDArray[np.float32],
    where: NDArray[np.bool_],
    textures: Textures,
    sha256: str,
    index: int,
) -> Synthetic:
    return draw_anomaly(config.anomalies, normal, where, textures, item_generator(config.seed, sha256, index))


def _stage(key: str, paths: CategoryPaths) -> None:
    synthesize(
        read_section(SyntheticSetsConfig, "synthesis"),
        read_image_size(key),
        manifest=paths.manifest,
        images=paths.images,
        foreground=paths.foreground,
        synthetic=paths.synthetic,
        previews=paths.previews,
    )


def main() -> None:
    command.run(_stage)
