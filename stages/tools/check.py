"""Read every setting of every stage and report all errors at once: `python -m stages.tools.check`.

A stage reads its own sections only when it runs, which may be hours after a typo was made.
"""

import sys
from collections.abc import Iterator
from pathlib import Path

import torch
from ruamel.yaml import YAML

from diffusionad.deployment.parity import ExportConfig
from diffusionad.detectors import load
from diffusionad.foreground.methods import ForegroundConfig
from diffusionad.section import Section
from diffusionad.training.trainer import TrainingConfig
from stages.benchmark.stage import BenchmarkConfig
from stages.command import leave_at_once
from stages.common.dataset import DatasetConfig
from stages.download.stage import DownloadConfig
from stages.evaluate.stage import EvaluationConfig
from stages.params import (
    PARAMS,
    ImageConfig,
    check_names,
    detector_file,
    read_category,
    read_detector_kind,
    read_image_size,
    read_section,
)
from stages.synthesize.stage import SyntheticSetsConfig
from stages.train.selection import OperatingPointConfig
from stages.train.settings import read_model_config

SECTIONS: dict[str, type[Section]] = {
    "download": DownloadConfig,
    "foreground": ForegroundConfig,
    "image": ImageConfig,
    "synthesis": SyntheticSetsConfig,
    "training": TrainingConfig,
    "operating_point": OperatingPointConfig,
    "evaluation": EvaluationConfig,
    "benchmark": BenchmarkConfig,
    "export": ExportConfig,
}


def faults(path: Path = PARAMS) -> Iterator[str]:
    """Yield one line per section or file that cannot be read, and per category whose networks cannot be built."""
    for name, kind in SECTIONS.items():
        try:
            read_section(kind, name, path)
        except ValueError as error:
            yield str(error)
    content = YAML(typ="safe").load(path)
    try:
        check_names(content, path)
    except ValueError as error:
        yield str(error)
        return
    for key in content.get("categories") or {}:
        try:
            category = read_category(key, path)
        except ValueError as error:
            yield str(error)
            continue
        try:
            read_section(DatasetConfig, f"datasets.{category.dataset}", path)
        except ValueError as error:
            yield str(error)
        try:
            _build(key, path)
        except ValueError as error:
            yield str(error)


def _build(key: str, path: Path) -> None:
    """Build the networks of a category on the meta device, which checks all shapes and computes nothing.

    Raises:
        ValueError: If its detector does not exist, cannot be read or cannot be built at the size of its images.
    """
    kind = read_detector_kind(key, path)
    config, size = read_model_config(kind, path), read_image_size(key, path)
    try:
        with torch.device("meta"):
            load(kind).model(config, size)
    except ValueError as error:
        raise ValueError(f"{detector_file(kind, path)}: for `categories.{key}`: {error}") from None


def main() -> None:
    leave_at_once()
    try:
        found = list(dict.fromkeys(faults()))  # categories of one detector share its faults
    except (OSError, ValueError) as error:
        found = [str(error)]
    if found:
        sys.exit("error: " + "\n".join(found))


if __name__ == "__main__":
    main()
