"""The same weights with other settings: the config of a checkpoint decides how it infers."""

from pathlib import Path

import torch
from safetensors.numpy import load_file, save_file

from diffusionad.base import ModelConfig
from diffusionad.detector import CONFIG, WEIGHTS, Detector, DetectorConfig
from stages.files import atomic_folder


def write_variant(source: Path, folder: Path, model: ModelConfig) -> None:
    """Copy a checkpoint with `model` in place of its own settings; its threshold is that of the source.

    `model` may be of another kind: weights that this kind does not have are left out.

    Raises:
        ValueError: If `model` needs weights that the source lacks.
    """
    weights = load_file(source / WEIGHTS)
    config = DetectorConfig.model_validate_json((source / CONFIG).read_bytes())
    changed = config.model_copy(update={"model": model})
    with torch.device("meta"):
        wanted = changed.build().state_dict().keys()
    if model.kind != config.model.kind:
        weights = {name: value for name, value in weights.items() if name in wanted}
    if missing := wanted - weights.keys():
        raise ValueError(f"{source}: a `{model.kind}` needs weights that it lacks: {min(missing)}")
    with atomic_folder(folder) as draft:
        save_file(weights, draft / WEIGHTS)
        (draft / CONFIG).write_text(changed.model_dump_json(indent=2) + "\n", encoding="utf-8")


def write_untrained(source: Path, folder: Path) -> None:
    """Write the model of a checkpoint with random weights, as a control for the training."""
    config = DetectorConfig.model_validate_json((source / CONFIG).read_bytes())
    torch.manual_seed(config.seed)
    with atomic_folder(folder) as draft:
        Detector(config.build(), config).save(draft)
