"""Choice and calibration of a model on the fixed validation set, which shares no image with the test set."""

import logging
import math
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import Field

from diffusionad.data.images import read_image
from diffusionad.detector import Detector
from diffusionad.metrics.ranking import image_auroc, pixel_metrics
from diffusionad.metrics.threshold import calibrate_threshold, images_needed, promise
from diffusionad.runtime.batches import to_tensor
from diffusionad.section import Section
from stages.common.synthetic import read_synthetic
from stages.files import atomic_file, atomic_folder
from stages.paths import CategoryPaths

LOG = logging.getLogger(__name__)
FPR_LIMIT = 0.3  # of the PRO curve in the history, by custom

HistoryRecord = dict[str, float | int]
"""One line of the history."""


class OperatingPointConfig(Section):
    """Section `operating_point` of params.yaml."""

    false_alarm_rate: float = Field(
        gt=0, lt=1, description="share of new normal images that may score above the threshold"
    )


class Validation(NamedTuple):
    """The fixed validation set: real normal images, and synthetic anomalies on real normal images."""

    normal: torch.Tensor
    """(N, 3, H, W), in [0, 1]."""
    anomalous: torch.Tensor
    """(M, 3, H, W), in [0, 1]."""
    masks: NDArray[np.bool_]
    """Masks of the anomalous images, (M, H, W)."""


def load_validation(rows: pd.DataFrame, size: tuple[int, int], paths: CategoryPaths) -> Validation:
    """Read the normal images of `rows` and the synthetic anomalies on them.

    Raises:
        ValueError: If there is no row or no synthetic anomaly.
    """
    synthetic = read_synthetic(paths.synthetic / "val.npz")
    if rows.empty or synthetic is None:
        raise ValueError(f"{paths.manifest}: no normal image in split `val`; raise download.val_fraction or add images")
    normal = np.stack([read_image(paths.images / name, size) for name in rows["path"]])
    return Validation(to_tensor(normal), to_tensor(synthetic.images), synthetic.masks)


def validate(detector: Detector, validation: Validation) -> HistoryRecord:
    """Compute the figures on the validation set, in [0, 1]: val_image_auroc, val_pixel_ap, val_pixel_pro."""
    normal, anomalous = detector.predict(validation.normal), detector.predict(validation.anomalous)
    labels = np.repeat([0, 1], [len(normal.image_score), len(anomalous.image_score)])
    scores = torch.cat([normal.image_score, anomalous.image_score]).numpy()
    pixels = pixel_metrics(anomalous.mask_logits.numpy(), validation.masks, FPR_LIMIT)
    return {"val_image_auroc": image_auroc(labels, scores), "val_pixel_ap": pixels.ap, "val_pixel_pro": pixels.pro}


def publish(
    detector: Detector,
    record: HistoryRecord,
    validation: Validation,
    operating_point: OperatingPointConfig,
    paths: CategoryPaths,
    photographs: int,
    held_out: torch.Tensor | None = None,
) -> None:
    """Calibrate the threshold of the model to keep, and write the model.

    Args:
        detector: The model, with any threshold and without a scale: its scores are raw.
        record: The line of the history that belongs to the model.
        validation: Validation set, whose normal images set the threshold.
        operating_point: Rate of false alarms at the threshold.
        paths: Paths of the category.
        photographs: Number of normal images of the category, in all splits.
        held_out: `Model.held_out_scores` of the training, which set the threshold too.
    """
    scores = detector.predict(validation.normal).image_score.numpy()
    if held_out is not None:
        scores = np.concatenate([scores, held_out.numpy()])
    threshold = calibrate_threshold(scores, operating_point.false_alarm_rate)
    with atomic_folder(paths.model) as draft:
        kept = detector.calibrated(
            threshold,
            scores.tolist(),
            false_alarm_rate=operating_point.false_alarm_rate,
            judged_by_copies=0 if held_out is None else len(held_out),
        )
        kept.save(draft)
    LOG.info(
        "%s/%s: kept step %d, validation image AUROC %.3f, pixel AP %.3f, threshold %.4f",
        *(paths.dataset, paths.category, record["step"]),
        *(record["val_image_auroc"], record["val_pixel_ap"], threshold),
    )
    _tell_promise(scores, threshold, operating_point.false_alarm_rate, paths, photographs)


def _tell_promise(
    scores: NDArray[np.float64], threshold: float, asked: float, paths: CategoryPaths, photographs: int
) -> None:
    """Log what the threshold promises, and warn if so few images cannot promise what was asked for."""
    promised, needed = promise(scores, threshold, 0), images_needed(asked)
    LOG.log(
        logging.INFO if promised.images >= needed else logging.WARNING,
        "%s/%s: %d normal images set the threshold, which can promise %.1f %% false alarms at best; %.1f %% was asked, "
        "which needs %d: about %d good photographs, split as these are%s",
        *(paths.dataset, paths.category, promised.images, 100 * promised.least, 100 * asked, needed),
        math.ceil(needed * photographs / promised.images),
        "" if promised.images >= needed else f"; {100 * promised.rate:.1f} % is promised",
    )


def write_curves(records: list[HistoryRecord], path: Path) -> None:
    """Write the history as a table for `dvc plots`."""
    with atomic_file(path) as draft:
        pd.DataFrame(records).to_csv(draft, index=False)
