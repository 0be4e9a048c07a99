"""Write a trained model as a file for ONNX Runtime or OpenVINO; `diffusionad export` calls this, DVC does not.

An export is kept only if it agrees with torch: its maps and its image AUROC are compared on the validation set, never
on test data. A refused export leaves the last good one of its variant in place.
"""

import logging
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffusionad.data.manifest import manifest_digest, read_manifest
from diffusionad.data.ranges import evenly_spaced
from diffusionad.deployment.export import write_export
from diffusionad.deployment.latency import Latency, measure
from diffusionad.deployment.parity import Agreement, Answers, ExportConfig, check, compare
from diffusionad.detector import CONFIG, WEIGHTS, Detector
from diffusionad.runtime.batches import to_tensor
from diffusionad.runtime.engines import EXPORTS, MODULES, Variant, open_engine, require
from diffusionad.runtime.record import RECORD, ExportRecord, digest_of, machine
from stages.common.synthetic import read_synthetic
from stages.files import atomic_file, atomic_folder, write_json
from stages.paths import CategoryPaths

LOG = logging.getLogger(__name__)


class Material(NamedTuple):
    """The images with which an export is made and judged; none is from the test set."""

    calibration: Tensor
    """Normal training images in [0, 1], shape (N, 3, H, W)."""
    validation: Tensor
    """Normal and synthetic validation images in [0, 1], shape (M, 3, H, W)."""
    labels: NDArray[np.int64]
    """Labels of the validation images, 0 = normal, 1 = synthetic anomaly, shape (M,)."""


def export(config: ExportConfig, variant: Variant, *, model: Path, out: Path) -> ExportRecord:
    """Read a model and the images of its category; write the export and its record.

    Args:
        config: Bounds of the agreement with torch, and numbers of images.
        variant: Runtime and precision.
        model: Folder that `Detector.save` wrote.
        out: Folder for a copy of the model and a folder per variant, which is what `Detector.load` needs.

    Raises:
        ValueError: If there is no such runtime or it is not installed, an image is missing, the model was trained on
            another manifest, or the export disagrees with torch. `out` is left as it was.
    """
    if variant not in EXPORTS:
        known = ", ".join(str(Variant(*names)) for names in EXPORTS)
        raise ValueError(f"{variant}: cannot be exported; expected one of {known}")
    require(MODULES[variant.runtime], variant.runtime)
    detector = Detector.load(model)
    form = detector.form()
    material = read_material(config, detector)
    samples = [image[None] for image in material.calibration]
    with atomic_folder(out / str(variant)) as draft:
        write_export(form, variant, [(one, detector.noise(one, form.noise_keys)) for one in samples], draft)
        exported = detector.with_engine(variant, open_engine(draft, variant, torch.get_num_threads()))
        agreement = _judge(config, material, exported, detector)
        image = material.validation[:1]
        times = measure(
            {"torch": lambda: detector.predict(image), "it": lambda: exported.predict(image)}, config.rounds, 2
        )
        size = sum(file.stat().st_size for file in draft.iterdir())
        record = _record(model, variant, agreement, len(material.labels), times, size)
        write_json(draft / RECORD, record.model_dump(mode="json"))
        # Before the folder is moved into place: an export beside another version of the model would be refused.
        for name in (CONFIG, WEIGHTS):
            with atomic_file(out / name) as copy:
                shutil.copyfile(model / name, copy)
    return record


def read_material(config: ExportConfig, detector: Detector) -> Material:
    """Read evenly spread images of the training and the validation set.

    Raises:
        ValueError: If the model was trained on another manifest, or there are no normal images.
    """
    paths = CategoryPaths(detector.config.dataset, detector.config.category)
    if detector.config.manifest != manifest_digest(paths.manifest):
        raise ValueError(
            f"the model was trained on another version of {paths.manifest}; an export is judged on its data"
        )
    rows = read_manifest(paths.manifest).query("label == 0")
    normal = _read(detector, rows[rows["split"] == "val"], config.validation_images, paths)
    calibration = _read(detector, rows[rows["split"] == "train"], config.calibration_images, paths)
    synthetic = read_synthetic(paths.synthetic / "val.npz")
    anomalous = normal[:0] if synthetic is None else to_tensor(synthetic.images)[_spread(len(synthetic.images), config)]
    labels = np.repeat([0, 1], [len(normal), len(anomalous)])
    return Material(calibration, torch.cat([normal, anomalous]), labels)


def _read(detector: Detector, rows: pd.DataFrame, most: int, paths: CategoryPaths) -> Tensor:
    if rows.empty:
        raise ValueError(f"{paths.manifest}: no normal images to export with; run `dvc repro` first")
    return detector.read([paths.images / rows["path"].iloc[index] for index in evenly_spaced(len(rows), most)])


def _spread(count: int, config: ExportConfig) -> list[int]:
    return evenly_spaced(count, config.validation_images)


def _judge(config: ExportConfig, material: Material, exported: Detector, detector: Detector) -> Agreement:
    answers = []
    for one in (exported, detector):
        prediction = one.predict(material.validation)
        answers.append(Answers(prediction.image_score.numpy(), prediction.anomaly_map.numpy()))
    agreement = compare(material.labels, *answers)
    try:
        check(config, exported.variant.precision, agreement)
    except ValueError as error:
        raise ValueError(f"export {exported.variant} refused: {error}; what was there before is kept") from None
    return agreement


def _record(
    model: Path, variant: Variant, agreement: Agreement, images: int, times: dict[str, Latency], size: int
) -> ExportRecord:
    record = ExportRecord(
        model=digest_of([model / CONFIG, model / WEIGHTS]),
        **variant._asdict(),
        images=images,
        **agreement._asdict(),
        machine=machine(),
        threads=torch.get_num_threads(),
        ms=round(times["it"].ms_p50, 3),
        ms_torch=round(times["torch"].ms_p50, 3),
        spread=round(times["it"].spread, 3),
        file_mib=round(size / 2**20, 3),
    )
    LOG.info("%s: %.1f ms per image, torch %.1f ms", variant, record.ms, record.ms_torch)
    return record
