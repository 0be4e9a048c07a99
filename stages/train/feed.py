"""Training batches: normal images from memory, and synthetic anomalies drawn online."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from diffusionad.data.images import read_image, read_mask
from diffusionad.runtime.batches import to_tensor
from diffusionad.synthesis.blend import SynthesisConfig, draw_anomaly
from diffusionad.synthesis.draws import item_generator
from diffusionad.synthesis.textures import Textures
from diffusionad.training.share import WHOLE, Share
from diffusionad.training.trainer import Batch, TrainingConfig
from stages.paths import CategoryPaths

BATCH = 16
"""Images per batch of `normal_batches`."""


class Pool(NamedTuple):
    """The normal training images, in memory."""

    images: NDArray[np.float32]
    """(N, H, W, 3), in [0, 1]."""
    foreground: NDArray[np.bool_]
    """(N, H, W)."""
    sha256: tuple[str, ...]
    """Digests of the image files, length N."""


def normal_batches(rows: pd.DataFrame, size: tuple[int, int], paths: CategoryPaths) -> Iterator[torch.Tensor]:
    """Read the normal images once, in batches of shape (B, 3, H, W) in [0, 1].

    Raises:
        ValueError: If there is no row, or a file cannot be read.
    """
    if rows.empty:
        raise ValueError(f"{paths.manifest}: no normal image in split `train`; expected at least one")
    for start in range(0, len(rows), BATCH):
        files = [paths.images / name for name in rows["path"][start : start + BATCH]]
        yield to_tensor(np.stack([read_image(file, size) for file in files]))


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
