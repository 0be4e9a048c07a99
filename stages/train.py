"""Train both networks together on normal images and synthetic anomalies drawn online."""

import json
import logging
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pydantic import Field
from tqdm import tqdm

from diffusionad.data.images import read_image
from diffusionad.data.manifest import manifest_digest, read_manifest
from diffusionad.detector import Detector, DetectorConfig
from diffusionad.metrics.ranking import image_auroc, pixel_metrics
from diffusionad.metrics.threshold import calibrate_threshold
from diffusionad.model import DiffusionAD, ModelConfig
from diffusionad.section import Section
from diffusionad.synthesis.blend import SynthesisConfig
from diffusionad.training.losses import Losses
from diffusionad.training.trainer import Trainer, TrainingConfig
from stages import command
from stages.feed import batches, load_pool
from stages.files import atomic_file, atomic_folder
from stages.params import ImageConfig, read_section
from stages.paths import CategoryPaths
from stages.processes import Place, joined
from stages.resume import Best, Record, State, fingerprint
from stages.synthetic import read_synthetic, to_tensor

LOG = logging.getLogger(__name__)
FPR_LIMIT = 0.3  # of the PRO in the history, by custom


class OperatingPointConfig(Section):
    """Section `operating_point` of params.yaml."""

    false_alarm_rate: float = Field(
        gt=0, lt=1, description="share of normal validation images that may score above the threshold"
    )


class Validation(NamedTuple):
    """The fixed validation set: real normal images, and synthetic anomalies on real normal images."""

    normal: torch.Tensor
    """(N, 3, H, W), in [0, 1]."""
    anomalous: torch.Tensor
    """(M, 3, H, W), in [0, 1]."""
    masks: NDArray[np.bool_]
    """(M, H, W), of the anomalous ones."""


def train(
    size: tuple[int, int],
    model: ModelConfig,
    training: TrainingConfig,
    operating_point: OperatingPointConfig,
    *,
    paths: CategoryPaths,
    state: Path,
    place: Place,
) -> None:
    """Read the images, their foreground and what stage `synthesize` left; write the model and its history.

    The model kept is the best one on the validation set, by the mean of image AUROC and pixel AP of its averaged
    weights. `state` is a folder outside the outs of DVC that holds what a killed training needs to go on; a training
    that went on ends in the same bytes as one that was never stopped. Where several processes share `place.share`, all
    read the same files, hold the same weights and validate, and the first of them writes.

    Raises:
        ValueError: If there is too little to train on.
        FloatingPointError: If the loss is not finite. The last good state is kept.
    """
    rows = read_manifest(paths.manifest).query("label == 0")
    pool = load_pool(rows[rows["split"] == "train"], size, paths)
    validation = _load_validation(rows[rows["split"] == "val"], size, paths)
    synthesis = SynthesisConfig.model_validate_json((paths.synthetic / "settings.json").read_bytes())
    torch.manual_seed(training.seed)
    share = place.share
    networks = DiffusionAD(model, size)
    networks.load_pretrained()
    trainer = Trainer(networks.to(place.device), training, share)
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
        losses.append(trainer.train_step(batch))
        if trainer.step % training.validate_every == 0 or trainer.step == training.steps:
            records.append(_validate(trainer, config, validation, losses))
            losses = []
            if best is None or _quality(records[-1]) > _quality(best["record"]):
                best = Best(record=records[-1], weights=trainer.averaged_model().state_dict())
            progress.set_postfix({key: f"{records[-1][key]:.3f}" for key in ("val_image_auroc", "val_pixel_ap")})
            if share.writes:
                saved.save(trainer, records, best)
                _write_history(records, paths.history)
    if not share.writes:
        return
    assert best is not None  # noqa: S101  # the last step always validates
    _publish(best, config, validation, operating_point, paths)
    _write_history(records, paths.history)
    with atomic_file(paths.training_curves) as draft:
        pd.DataFrame(records).to_csv(draft, index=False)
    saved.clear()


def _load_validation(rows: pd.DataFrame, size: tuple[int, int], paths: CategoryPaths) -> Validation:
    synthetic = read_synthetic(paths.synthetic / "val.npz")
    if rows.empty or synthetic is None:
        raise ValueError(f"{paths.manifest}: no normal image in split `val`; raise download.val_fraction or add images")
    normal = np.stack([read_image(paths.images / name, size) for name in rows["path"]])
    return Validation(to_tensor(normal), synthetic.images, synthetic.masks)


def _validate(trainer: Trainer, config: DetectorConfig, validation: Validation, losses: list[Losses]) -> Record:
    detector = Detector(trainer.averaged_model(), config)
    normal, anomalous = detector.predict(validation.normal), detector.predict(validation.anomalous)
    labels = np.repeat([0, 1], [len(normal.image_score), len(anomalous.image_score)])
    scores = torch.cat([normal.image_score, anomalous.image_score]).numpy()
    pixels = pixel_metrics(anomalous.mask_logits.numpy(), validation.masks, FPR_LIMIT)
    means = {name: float(np.mean([float(getattr(loss, name).detach()) for loss in losses])) for name in Losses._fields}
    return {
        "step": trainer.step,
        **{f"loss_{name}": value for name, value in means.items()},
        "val_image_auroc": image_auroc(labels, scores),
        "val_pixel_ap": pixels.ap,
        "val_pixel_pro": pixels.pro,
    }


def _quality(record: Record) -> float:
    return (record["val_image_auroc"] + record["val_pixel_ap"]) / 2


def _publish(
    best: Best,
    config: DetectorConfig,
    validation: Validation,
    operating_point: OperatingPointConfig,
    paths: CategoryPaths,
) -> None:
    model = DiffusionAD(config.model, config.image_size)
    model.load_state_dict(best["weights"])
    scores = Detector(model, config).predict(validation.normal).image_score.numpy()
    threshold = calibrate_threshold(scores, operating_point.false_alarm_rate)
    with atomic_folder(paths.model) as draft:
        Detector(model, config.model_copy(update={"threshold": threshold})).save(draft)
    LOG.info(
        "%s/%s: kept step %d, validation image AUROC %.3f, pixel AP %.3f, threshold %.4f",
        *(paths.dataset, paths.category, best["record"]["step"]),
        *(best["record"]["val_image_auroc"], best["record"]["val_pixel_ap"], threshold),
    )


def _write_history(records: list[Record], path: Path) -> None:
    with atomic_file(path) as draft:
        draft.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")


def _stage(_key: str, paths: CategoryPaths) -> None:
    with joined() as place:
        train(
            read_section(ImageConfig, "image").size,
            read_section(ModelConfig, "model"),
            read_section(TrainingConfig, "training"),
            read_section(OperatingPointConfig, "operating_point"),
            paths=paths,
            state=Path(".local", "training", paths.dataset, paths.category),
            place=place,
        )


def main() -> None:
    command.run(_stage)


if __name__ == "__main__":
    main()
