"""A small category to train on, and short trainings on it."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from diffusionad.data.manifest import write_manifest
from diffusionad.synthesis.blend import SynthesisConfig
from diffusionad.training.trainer import TrainingConfig
from stages.params import read_section
from stages.paths import CategoryPaths
from stages.synthesize.stage import SyntheticSetsConfig, synthesize
from stages.train.selection import OperatingPointConfig
from stages.train.stage import train
from toys.manifest import fill

ROOT = Path(__file__).parents[3]
SYNTHESIS = ROOT / "tests" / "diffusionad" / "synthesis" / "settings.json"
SIZE = (32, 32)


@pytest.fixture
def paths(tmp_path, monkeypatch):
    """Ten normal images, four of them for validation, and two normal and two anomalous test images with masks."""
    monkeypatch.chdir(tmp_path)
    paths = CategoryPaths("toys", "noise")
    rng = np.random.default_rng(0)
    rows = []
    for index in range(14):
        split = "train" if index < 6 else "val" if index < 10 else "test"
        name, mask = f"{split}/{index}.png", f"truth/{index}.png" if index > 11 else None
        pixels = rng.normal(120, 10, (40, 40)).clip(0, 255).astype(np.uint8)
        for file in filter(None, (name, mask)):
            (paths.images / file).parent.mkdir(parents=True, exist_ok=True)
        if mask:
            pixels[10:24, 12:26] = 250
            truth = np.zeros_like(pixels)
            truth[10:24, 12:26] = 255
            Image.fromarray(truth).save(paths.images / mask)
        Image.fromarray(pixels).save(paths.images / name)
        foreground = (paths.foreground / name).with_suffix(".png")
        foreground.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((40, 40), 255, np.uint8)).save(foreground)
        row = {"path": name, "split": split, "label": int(index > 11), "defect": "spot" if mask else "good"}
        rows.append(row | {"mask": mask, "sha256": f"{index:064x}", "width": 40, "height": 40})
    write_manifest(fill(rows), paths.manifest, {})
    anomalies = SynthesisConfig.model_validate_json(SYNTHESIS.read_bytes())
    synthesize(
        SyntheticSetsConfig(seed=0, count_per_image=1, anomalies=anomalies),
        SIZE,
        manifest=paths.manifest,
        images=paths.images,
        foreground=paths.foreground,
        synthetic=paths.synthetic,
        previews=paths.previews,
    )
    return paths


@pytest.fixture
def train_on(paths):
    """Trains a model of some settings for four steps per phase, validated at every second one."""
    short = {"steps": 4, "batch_size": 4, "validate_every": 2}
    training = read_section(TrainingConfig, "training", ROOT / "params.yaml").model_copy(update=short)

    def train_on(model, state="state", false_alarm_rate=0.2):
        operating_point = OperatingPointConfig(false_alarm_rate=false_alarm_rate)
        train(SIZE, model, training, operating_point, paths=paths, state=Path(state))

    return train_on
