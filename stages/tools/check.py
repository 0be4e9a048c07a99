"""Read every setting of every stage, and say all that is wrong with them at once: `python -m stages.tools.check`.

A stage reads its own sections when its turn comes, which may be hours after a typo in the section of a later one.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from ruamel.yaml import YAML

from diffusionad.foreground.methods import ForegroundConfig
from diffusionad.model import DiffusionAD, ModelConfig
from diffusionad.runtime.parity import ExportConfig
from diffusionad.section import Section
from diffusionad.training.trainer import TrainingConfig
from stages.benchmark.stage import BenchmarkConfig
from stages.command import leave_at_once
from stages.common.dataset import DatasetConfig
from stages.download.stage import DownloadConfig
from stages.evaluate.stage import EvaluationConfig
from stages.params import PARAMS, ImageConfig, read_category, read_section
from stages.synthesize.stage import SyntheticSetsConfig
from stages.train.selection import OperatingPointConfig
from stages.train.stage import DetectorChoice

SECTIONS: dict[str, type[Section]] = {
    "download": DownloadConfig,
    "foreground": ForegroundConfig,
    "image": ImageConfig,
    "synthesis": SyntheticSetsConfig,
    "detector": DetectorChoice,
    "model": ModelConfig,
    "training": TrainingConfig,
    "operating_point": OperatingPointConfig,
    "evaluation": EvaluationConfig,
    "benchmark": BenchmarkConfig,
    "export": ExportConfig,
}


def faults(path: Path = PARAMS) -> Iterator[str]:
    """Yield a line for each section that cannot be read, and for networks that these settings cannot build."""
    sound: dict[str, Section] = {}
    for name, kind in SECTIONS.items():
        try:
            sound[name] = read_section(kind, name, path)
        except ValueError as error:
            yield str(error)
    for key in YAML(typ="safe").load(path).get("categories") or {}:
        try:
            read_section(DatasetConfig, f"datasets.{read_category(key, path).dataset}", path)
        except ValueError as error:
            yield str(error)
    model, image = sound.get("model"), sound.get("image")
    if isinstance(model, ModelConfig) and isinstance(image, ImageConfig):
        try:
            # Shapes without memory: all that can be refused is refused, and nothing is computed.
            with torch.device("meta"):
                DiffusionAD(model, image.size)
        except ValueError as error:
            yield f"{path}: `model`: {error}"


def main() -> None:
    leave_at_once()
    try:
        found = list(faults())
    except (OSError, ValueError) as error:
        found = [str(error)]
    if found:
        sys.exit("error: " + "\n".join(found))


if __name__ == "__main__":
    main()
