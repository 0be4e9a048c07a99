"""Fit PatchCore, the rival, on the same images: what its `train` is."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from diffusionad.data.images import read_image
from diffusionad.data.manifest import manifest_digest, read_manifest
from diffusionad.detector import Detector, DetectorConfig
from diffusionad.patchcore import PatchCore, PatchCoreConfig
from stages.common.device import best_device
from stages.common.schemas import write_history
from stages.common.synthetic import to_tensor
from stages.paths import CategoryPaths
from stages.train.selection import OperatingPointConfig, load_validation, publish, validate, write_curves

BATCH = 16


def memorise(
    size: tuple[int, int],
    config: PatchCoreConfig,
    operating_point: OperatingPointConfig,
    seed: int,
    *,
    paths: CategoryPaths,
) -> None:
    """Read the normal images; write the model and a history of one line.

    Raises:
        ValueError: If there is no normal image, or the backbone's weights are not installed.
    """
    rows = read_manifest(paths.manifest).query("label == 0")
    train, held_out = rows[rows["split"] == "train"], rows[rows["split"] == "val"]
    if train.empty:
        raise ValueError(f"{paths.manifest}: no normal image in split `train`; expected at least one")
    validation = load_validation(held_out, size, paths)
    model = PatchCore(config, size)
    model.fit(_batches([paths.images / name for name in train["path"]], size), torch.Generator().manual_seed(seed))
    model.calibrate(validation.normal)
    settings = DetectorConfig(
        dataset=paths.dataset,
        category=paths.category,
        manifest=manifest_digest(paths.manifest),
        image_size=size,
        seed=seed,
        threshold=0.0,
        model=config,
    )
    detector = Detector(model, settings, best_device())
    record = {"step": 1, **validate(detector, validation)}
    publish(detector, record, validation, operating_point, paths)
    write_history(paths.history, [record])
    write_curves([record], paths.training_curves)


def _batches(files: list[Path], size: tuple[int, int]) -> Iterator[torch.Tensor]:
    for start in range(0, len(files), BATCH):
        yield to_tensor(np.stack([read_image(file, size) for file in files[start : start + BATCH]]))
