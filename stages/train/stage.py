"""Train both networks together on normal images and synthetic anomalies drawn online."""

from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from tqdm import tqdm

from diffusionad.data.manifest import manifest_digest, read_manifest
from diffusionad.detector import Detector, DetectorConfig
from diffusionad.model import DiffusionAD, ModelConfig
from diffusionad.patchcore import PatchCoreConfig
from diffusionad.section import Section
from diffusionad.synthesis.blend import SynthesisConfig
from diffusionad.training.losses import Losses
from diffusionad.training.trainer import Batch, Trainer, TrainingConfig
from stages import command
from stages.common.schemas import read_document, write_history
from stages.params import ImageConfig, read_section
from stages.paths import CategoryPaths
from stages.train.feed import batches, load_pool
from stages.train.fitted import memorise
from stages.train.processes import Place, alone, joined
from stages.train.resume import Best, State, fingerprint
from stages.train.selection import (
    OperatingPointConfig,
    Record,
    Validation,
    load_validation,
    publish,
    validate,
    write_curves,
)


class DetectorChoice(Section):
    """Section `detector` of params.yaml."""

    kind: Literal["diffusionad", "patchcore"] = Field(description="what is trained; patchcore is the rival")
    patchcore: PatchCoreConfig


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
    """Read the images, their foreground and what stage `synthesize` left; write the model and its history.

    The model kept is the best one on the validation set, by the mean of image AUROC and pixel AP of its averaged
    weights. `state` is a folder outside the outs of DVC that holds what a killed training needs to go on; a training
    that went on ends in the same bytes as one that was never stopped. Where several processes share `place.share`, all
    read the same files, hold the same weights and validate, and the first of them writes; without `place`, this one
    trains alone.

    Raises:
        ValueError: If there is too little to train on.
        FloatingPointError: If the loss is not finite. Its batch and the last good state are kept.
    """
    rows = read_manifest(paths.manifest).query("label == 0")
    pool = load_pool(rows[rows["split"] == "train"], size, paths)
    validation = load_validation(rows[rows["split"] == "val"], size, paths)
    synthesis = read_document(paths.synthetic / "settings.json", SynthesisConfig)
    torch.manual_seed(training.seed)
    share, device = place or alone()
    networks = DiffusionAD(model, size)
    networks.load_pretrained()
    trainer = Trainer(networks.to(device), training, share)
    config = DetectorConfig(
        dataset=paths.dataset,
        category=paths.category,
        manifest=manifest_digest(paths.manifest),
        image_size=size,
        seed=training.seed,
        threshold=0.0,
        model=model,
    )
    saved = State(state, fingerprint((model, training), size, paths, share.processes))
    records, best = saved.load(trainer)
    losses: list[Losses] = []
    progress = tqdm(
        batches(pool, synthesis, training, size, trainer.step, share),
        initial=trainer.step,
        total=training.steps,
        desc=f"train {paths.dataset}/{paths.category}",
        disable=None if share.writes else True,
    )
    for batch in progress:
        losses.append(_step(trainer, batch, saved))
        if trainer.step % training.validate_every == 0 or trainer.step == training.steps:
            latest = _validated(trainer, losses, config, validation, device)
            records.append(latest["record"])
            losses = []
            best = latest if best is None else max(best, latest, key=_quality)  # the earlier one of two equals
            progress.set_postfix({key: f"{records[-1][key]:.3f}" for key in ("val_image_auroc", "val_pixel_ap")})
            if share.writes:
                saved.save(trainer, records, best)
                write_history(paths.history, records)
    if not share.writes:
        return
    assert best is not None  # noqa: S101  # the last step always validates
    kept = DiffusionAD(model, size)
    kept.load_state_dict(best["weights"])
    publish(Detector(kept, config, device), best["record"], validation, operating_point, paths)
    write_history(paths.history, records)
    write_curves(records, paths.training_curves)
    saved.clear()


def _step(trainer: Trainer, batch: Batch, saved: State) -> Losses:
    try:
        return trainer.train_step(batch)
    except FloatingPointError as error:
        if not trainer.share.writes:
            raise
        state_kept = f"the last good state in {saved.file}" if saved.file.exists() else "no state yet"
        raise FloatingPointError(f"{error}; kept: its batch in {saved.keep_batch(batch)}, {state_kept}") from None


def _validated(
    trainer: Trainer, losses: list[Losses], config: DetectorConfig, validation: Validation, device: torch.device
) -> Best:
    averaged = trainer.averaged_model()
    detector = Detector(averaged, config, device)
    detector.calibrate(validation.normal)
    record = {"step": trainer.step, **_means(losses), **validate(detector, validation)}
    return Best(record=record, weights=averaged.state_dict())


def _means(losses: list[Losses]) -> Record:
    means = {name: np.mean([float(getattr(loss, name).detach()) for loss in losses]) for name in Losses._fields}
    return {f"loss_{name}": float(value) for name, value in means.items()}


def _quality(model: Best) -> float:
    record = model["record"]
    return (record["val_image_auroc"] + record["val_pixel_ap"]) / 2


def _stage(_key: str, paths: CategoryPaths) -> None:
    size = read_section(ImageConfig, "image").size
    choice = read_section(DetectorChoice, "detector")
    training = read_section(TrainingConfig, "training")
    operating_point = read_section(OperatingPointConfig, "operating_point")
    if choice.kind == "patchcore":
        memorise(size, choice.patchcore, operating_point, training.seed, paths=paths)
        return
    with joined() as place:
        train(
            size,
            read_section(ModelConfig, "model"),
            training,
            operating_point,
            paths=paths,
            state=Path(".local", "training", paths.dataset, paths.category),
            place=place,
        )


def main() -> None:
    command.run(_stage)


if __name__ == "__main__":
    main()
