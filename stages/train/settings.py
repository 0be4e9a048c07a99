"""The settings of a kind of detector, read with the class that the kind declares."""

from pathlib import Path

from diffusionad.base import ModelConfig
from diffusionad.detectors import load
from stages.params import PARAMS, detector_file, read_settings


def read_model_config(kind: str, params: Path = PARAMS) -> ModelConfig:
    """Read params/detectors/KIND.yaml, beside a params.yaml.

    Raises:
        ValueError: If there is no such kind, its file is missing, or a key of it is unknown, missing or wrong.
    """
    config, file = load(kind).config, detector_file(kind, params)
    if not file.is_file():
        raise ValueError(f"{file}: not found; the settings of detector `{kind}` stand there")
    return read_settings(config, file, {"kind": kind})
