"""Train a detector on normal images and, where it learns from them, synthetic anomalies drawn online."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor
from tqdm import tqdm

from diffusionad.base import Model, ModelConfig, Once, Stepwise
from diffusionad.data.manifest import manifest_digest, read_manifest
from diffusionad.detector import Detector, DetectorConfig
from diffusionad.synthesis.blend import SynthesisConfig
from diffusionad.training.trainer import Batch, Trainer, TrainingConfig
from stages import command
from stages.common.schemas import read_document, write_history
from stages.params import read_detector_kind, read_image_size, read_section
from stages.paths import CategoryPaths
from stages.train.feed import StoredImages, batches, load_pool
from stages.train.processes import Place, alone, joined
from stages.train.resume import Best, Progress, TrainingState, fingerprint
from stages.train.selection import (
    HistoryRecord,
    OperatingPointConfig,
    Validation,
    load_validation,
    publish,
    validate,
    write_curves,
)
from stages.train.settings import read_model_config


class Job(NamedTuple):
    """One training: its settings, its data, and where its state is saved."""

    size: tuple[int, int]
    config: DetectorConfig
    training: TrainingConfig
    rows: pd.DataFrame
    """Normal training images: rows of the manifest."""
    validation: Validation
    paths: CategoryPaths
    saved: TrainingState
    place: Place


def train(
    size: tuple[int, int],
    model: ModelConfig,
    training: TrainingConfig,
    operating_point: OperatingPointConfig,
    *,
    paths: CategoryPaths,
    state: Path,
    place: Place | None = None,
) -> None:
    """Read the images, their foreground and the output of stage `synthesize`; write the model and its history.

    The phases of the detector are learned one after the other. If the last one is learned by gradient, the averaged
    weights with the highest mean of image AUROC and pixel AP on the validation set are kept; of the phases before, the
    last averaged weights are kept. `state` is a folder outside the outs of DVC for what a killed training needs to go
    on; a resumed training writes the same bytes as one that was never stopped. Where several processes train together
    (`place.share`), all read the same files, hold the same weights and validate, and the first one writes; without
    `place`, this process trains alone.

    Raises:
        ValueError: If a split has no images to train or validate on.
        FloatingPointError: If the loss is not finite. The batch and the last good state are kept.
    """
    rows = read_manifest(paths.manifest).query("label == 0")
    config = DetectorConfig(
        dataset=paths.dataset,
        category=paths.category,
        manifest=manifest_digest(paths.manifest),
        image_size=size,
        seed=training.seed,
        threshold=0.0,
        model=model,
    )
    place = place or alone()
    validation = load_validation(rows[rows["split"] == "val"], size, paths)
    saved = TrainingState(state, fingerprint((model, training), size, paths, place.share.processes))
    job = Job(size, config, training, rows[rows["split"] == "train"], validation, paths, saved, place)
    torch.manual_seed(training.seed)
    networks = config.build()
    records, best = _learn(networks, job)
    if not place.share.writes:
        return
    kept = config.build()
    kept.load_state_dict(best["weights"])
    detector = Detector(kept, config, place.device)
    publish(detector, best["record"], validation, operating_point, paths, len(rows), networks.held_out_scores)
    write_history(paths.history, records)
    write_curves(records, paths.training_curves)
    saved.clear()


def _learn(model: Model, job: Job) -> tuple[list[HistoryRecord], Best]:
    """Learn all phases; return the history and the model to keep."""
    phases = model.phases
    for phase in phases:
        if isinstance(phase, Stepwise):
            phase.prepare()
    model.to(job.place.device)
    progress = job.saved.load()
    records: list[HistoryRecord] = [] if progress is None else progress["records"]
    best: Best | None = None
    for index, phase in enumerate(phases):
        if progress is not None and index < progress["phase"]:
            continue  # its weights are part of the saved state of the current phase
        if isinstance(phase, Once):
            images = StoredImages(job.rows, job.size, job.paths, job.training, job.place.device)
            phase.fit(images, torch.Generator().manual_seed(job.training.seed))
            continue
        assert isinstance(phase, Stepwise)  # noqa: S101  # a phase is one of the two
        trainer = Trainer(model, phase, job.training, job.place.share)
        if progress is not None and index == progress["phase"]:
            trainer.load_state_dict(progress["trainer"])
            best = progress["best"]
        best = _steps(trainer, index, records, best, job, is_last=index == len(phases) - 1)
        model.load_state_dict(trainer.average.state)
    if best is None:
        before = records[-1]["step"] if records else 0
        record = {"step": before + 1, **_judge(model, job)}
        records.append(record)
        best = Best(record=record, weights=model.state_dict())
    return records, best


def _steps(
    trainer: Trainer, index: int, records: list[HistoryRecord], best: Best | None, job: Job, *, is_last: bool
) -> Best | None:
    """Take the remaining steps of a phase; in the last phase, validate and choose the model to keep."""
    training, paths, writes = job.training, job.paths, job.place.share.writes
    pool = load_pool(job.rows, job.size, paths)
    synthesis = read_document(paths.synthetic / "settings.json", SynthesisConfig)
    losses: list[dict[str, Tensor]] = []
    mixed = trainer.phase.batch == "mixed"
    before = index * training.steps
    progress = tqdm(
        batches(pool, synthesis, training, job.size, trainer.step, job.place.share, mixed=mixed),
        initial=trainer.step,
        total=training.steps,
        desc=f"train {paths.dataset}/{paths.category}",
        disable=None if writes else True,
    )
    for batch in progress:
        losses.append(_step(trainer, batch, job.saved))
        if trainer.step % training.validate_every and trainer.step != training.steps:
            continue
        record: HistoryRecord = {"step": before + trainer.step, **_means(losses)}
        losses = []
        if is_last:
            averaged = trainer.averaged_model()
            record |= _judge(averaged, job)
            latest = Best(record=record, weights=averaged.state_dict())
            best = latest if best is None else max(best, latest, key=_quality)  # of two equals, the earlier one
            progress.set_postfix({key: f"{record[key]:.3f}" for key in ("val_image_auroc", "val_pixel_ap")})
        records.append(record)
        if writes:
            job.saved.save(Progress(phase=index, trainer=trainer.state_dict(), records=records, best=best))
            write_history(paths.history, records)
    return best


def _step(trainer: Trainer, batch: Batch, saved: TrainingState) -> dict[str, Tensor]:
    try:
        return trainer.train_step(batch)
    except FloatingPointError as error:
        if not trainer.share.writes:
            raise
        state_kept = f"the last good state in {saved.file}" if saved.file.exists() else "no state yet"
        raise FloatingPointError(f"{error}; kept: its batch in {saved.keep_batch(batch)}, {state_kept}") from None


def _judge(model: Model, job: Job) -> HistoryRecord:
    """Calibrate a model on held-out normal images, and validate it."""
    detector = Detector(model, job.config, job.place.device)
    detector.calibrate(job.validation.normal)
    return validate(detector, job.validation)


def _means(losses: list[dict[str, Tensor]]) -> HistoryRecord:
    means = {name: np.mean([float(loss[name].detach()) for loss in losses]) for name in losses[0]}
    return {f"loss_{name}": float(value) for name, value in means.items()}


def _quality(model: Best) -> float:
    record = model["record"]
    return (record["val_image_auroc"] + record["val_pixel_ap"]) / 2


def _stage(key: str, paths: CategoryPaths) -> None:
    with joined() as place:
        train(
            read_image_size(key),
            read_model_config(read_detector_kind(key)),
            read_section(TrainingConfig, "training"),
            read_section(OperatingPointConfig, "operating_point"),
            paths=paths,
            state=Path(".local", "training", paths.dataset, paths.category),
            place=place,
        )


def main() -> None:
    command.run(_stage)
