"""The same weights under other settings: a checkpoint decides by its config how it reconstructs."""

from pathlib import Path

import torch
from safetensors.numpy import load_file, save_file

from diffusionad.detector import CONFIG, WEIGHTS, Detector, DetectorConfig
from diffusionad.model import ModelConfig
from stages.files import atomic_folder


def write_variant(source: Path, folder: Path, model: ModelConfig) -> None:
    """Copy a checkpoint of DiffusionAD with `model` in place of its own settings; its threshold is that of the source.

    `identity` needs no reconstructor, whose weights are left out.
    """
    weights = load_file(source / WEIGHTS)
    if model.paradigm == "identity":
        weights = {name: value for name, value in weights.items() if not name.startswith("reconstructor.")}
    config = DetectorConfig.model_validate_json((source / CONFIG).read_bytes())
    with atomic_folder(folder) as draft:
        save_file(weights, draft / WEIGHTS)
        changed = config.model_copy(update={"model": model})
        (draft / CONFIG).write_text(changed.model_dump_json(indent=2) + "\n", encoding="utf-8")


def write_untrained(source: Path, folder: Path) -> None:
    """Write the model of a checkpoint with random weights, which show what is no merit of the training."""
    config = DetectorConfig.model_validate_json((source / CONFIG).read_bytes())
    torch.manual_seed(config.seed)
    with atomic_folder(folder) as draft:
        Detector(config.build(), config).save(draft)
