"""Training images: batches with synthetic anomalies drawn online, and fixed sets."""

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from diffusionad.base import Anomalous
from diffusionad.data.images import read_image, read_mask
from diffusionad.runtime.batches import to_tensor
from diffusionad.synthesis.blend import SynthesisConfig, draw_anomaly
from diffusionad.synthesis.draws import item_generator
from diffusionad.synthesis.textures import Textures
from diffusionad.training.share import WHOLE, Share
from diffusionad.training.trainer import Batch, TrainingConfig
from stages.common.schemas import read_document
from stages.paths import CategoryPaths

BATCH = 16
"""Images per batch of `StoredImages`."""


class Pool(NamedTuple):
    """The normal training images, in memory."""

    images: NDArray[np.float32]
    """(N, H, W, 3), in [0, 1]."""
    foreground: NDArray[np.bool_]
    """(N, H, W)."""
    sha256: tuple[str, ...]
    """Digests of the image files, length N."""


class StoredImages:
    """The training images of a category as `Once.fit` takes them: read batch by batch, with progress.

    Args:
        rows: Normal images of split `train`: rows of the manifest.
        size: (height, width) to read them at, in pixels.
        paths: Paths of the category.
        training: Seed and flips of the anomalous images.
        device: Device of the batches.

    Raises:
        ValueError: If there is no row.
    """

    def __init__(
        self,
        rows: pd.DataFrame,
        size: tuple[int, int],
        paths: CategoryPaths,
        training: TrainingConfig,
        device: torch.device,
    ) -> None:
        if rows.empty:
            raise ValueError(f"{paths.manifest}: no normal image in split `train`; expected at least one")
        self.count = len(rows)
        self._rows, self._size, self._paths = rows, size, paths
        self._training, self._device = training, device

    def normal(self) -> Iterator[torch.Tensor]:
        """Read the normal images in the order of the manifest.

        Raises:
            ValueError: If a file cannot be read.
        """
        for chosen in self._parts(self.count, "normal"):
            files = [self._paths.images / self._rows["path"].iloc[index] for index in chosen]
            yield to_tensor(np.stack([read_image(file, self._size) for file in files])).to(self._device)

    def anomalous(self, count: int) -> Iterator[Anomalous]:
        """Draw one anomaly each on `count` normal images, which take turns and are flipped at random.

        Raises:
            ValueError: If a file cannot be read.
        """
        synthesis = read_document(self._paths.synthetic / "settings.json", SynthesisConfig)
        textures = Textures(synthesis.textures, self._size)
        rng = np.random.default_rng([self._training.seed, count])
        rounds = [rng.permutation(self.count) for _ in range(math.ceil(count / self.count))]
        sources = np.concatenate(rounds)[:count]
        for chosen in self._parts(count, "anomalous"):
            drawn = [self._draw(sources[place], place, synthesis, textures, rng) for place in chosen]
            images = to_tensor(np.stack([image for image, _ in drawn]))
            masks = torch.from_numpy(np.stack([mask for _, mask in drawn]))[:, None]
            yield Anomalous(images.to(self._device), masks.to(self._device), torch.from_numpy(sources[chosen]))

    def _draw(
        self, source: int, place: int, synthesis: SynthesisConfig, textures: Textures, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        row, training = self._rows.iloc[source], self._training
        vertical, horizontal = _direction(training.flip_vertical, rng), _direction(training.flip_horizontal, rng)
        turned = np.s_[::vertical, ::horizontal]
        image = np.ascontiguousarray(read_image(self._paths.images / row["path"], self._size)[turned])
        where = read_mask((self._paths.foreground / row["path"]).with_suffix(".png"), self._size)[turned]
        item = item_generator(training.seed, row["sha256"], place)
        drawn = draw_anomaly(synthesis, image, where, textures, item)
        return drawn.image, drawn.mask.astype(np.float32)

    def _parts(self, count: int, what: str) -> Iterator[range]:
        name = f"read {what} {self._paths.dataset}/{self._paths.category}"
        for start in tqdm(range(0, count, BATCH), desc=name, disable=None):
            yield range(start, min(start + BATCH, count))


def load_pool(rows: pd.DataFrame, size: tuple[int, int], paths: CategoryPaths) -> Pool:
    """Read images and their foreground at `size`.

    Raises:
        ValueError: If there is no row, or a file cannot be read.
    """
    if rows.empty:
        raise ValueError(f"{paths.manifest}: no normal image in split `train`; expected at least one")
    return Pool(
        np.stack([read_image(paths.images / name, size) for name in rows["path"]]),
        np.stack([read_mask((paths.foreground / name).with_suffix(".png"), size) for name in rows["path"]]),
        tuple(rows["sha256"]),
    )


def batches(
    pool: Pool,
    synthesis: SynthesisConfig,
    training: TrainingConfig,
    size: tuple[int, int],
    first: int,
    share: Share = WHOLE,
    *,
    mixed: bool = True,
) -> Iterator[Batch]:
    """Yield the share of the batches from step `first` on, each drawn while the networks work on the one before.

    If `mixed`, the first half of a batch is normal and the second anomalous; otherwise all of it is normal. A batch
    depends only on the seed and its step.
    """
    draw = partial(_draw, pool, synthesis, training, share=share, mixed=mixed)
    textures = Textures(synthesis.textures, size)
    with ThreadPoolExecutor(max_workers=1) as worker:
        coming = worker.submit(draw, textures, first)
        for step in range(first, training.steps):
            batch = coming.result()
            if step + 1 < training.steps:
                coming = worker.submit(draw, textures, step + 1)
            yield batch


def _draw(
    pool: Pool,
    synthesis: SynthesisConfig,
    training: TrainingConfig,
    textures: Textures,
    step: int,
    *,
    share: Share,
    mixed: bool,
) -> Batch:
    rng = np.random.default_rng([training.seed, step])
    count = training.batch_size
    # Drawn for the whole batch, so that a slot is the same in whichever share it is; synthesised for the share alone.
    chosen = rng.integers(len(pool.images), size=count)
    turns = [(_direction(training.flip_vertical, rng), _direction(training.flip_horizontal, rng)) for _ in chosen]
    slots = range(count)[share.slots]
    first_anomalous = count // 2 if mixed else count
    images = np.empty((len(slots), *pool.images.shape[1:]), np.float32)
    masks = np.zeros((len(slots), *pool.images.shape[1:3]), np.float32)
    for place, slot in enumerate(slots):
        index, turn = chosen[slot], turns[slot]
        images[place] = pool.images[index, :: turn[0], :: turn[1]]
        if slot >= first_anomalous:
            where = pool.foreground[index, :: turn[0], :: turn[1]]
            item = item_generator(training.seed, pool.sha256[index], step * count + slot)
            images[place], masks[place] = draw_anomaly(synthesis, images[place], where, textures, item)
    is_normal = torch.tensor([slot < first_anomalous for slot in slots])
    return Batch(to_tensor(images), torch.from_numpy(masks)[:, None], is_normal)


def _direction(flip: bool, rng: np.random.Generator) -> int:  # noqa: FBT001  # a setting
    return -1 if flip and rng.random() < 0.5 else 1  # noqa: PLR2004  # a fair coin
