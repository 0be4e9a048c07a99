"""Training on a few drawn images: what is written, what is kept when it breaks, and PatchCore by the same stages."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from diffusionad.model import ModelConfig
from diffusionad.patchcore import PatchCoreConfig
from PIL import Image
from stages.train.fitted import memorise

from diffusionad.data.manifest import write_manifest
from diffusionad.detector import Detector
from diffusionad.synthesis.blend import SynthesisConfig
from diffusionad.training.trainer import TrainingConfig
from stages.benchmark.stage import BenchmarkConfig, benchmark
from stages.benchmark.timing import Effort
from stages.evaluate.stage import EvaluationConfig, evaluate
from stages.params import read_section
from stages.paths import CategoryPaths
from stages.synthesize.stage import SyntheticSetsConfig, synthesize
from stages.train import stage as train_module
from stages.train.selection import OperatingPointConfig
from stages.train.stage import train
from toys.manifest import fill

ROOT = Path(__file__).parents[3]
MODEL = ROOT / "tests" / "diffusionad" / "tiny_model.json"
SYNTHESIS = ROOT / "tests" / "diffusionad" / "synthesis" / "settings.json"
SIZE = (32, 32)
OPERATING_POINT = OperatingPointConfig(false_alarm_rate=0.2)
PATCHCORE = PatchCoreConfig(
    stages=(1, 2),
    coreset_fraction=0.2,
    candidates=3,
    projection_dims=16,
    smoothing_fraction=0.02,
    top_k_fraction=0.01,
)


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


@pytest.fixture(scope="module")
def model():
    return ModelConfig.model_validate_json(MODEL.read_bytes())


@pytest.fixture(scope="module")
def training():
    short = {"steps": 4, "batch_size": 4, "validate_every": 2}
    return read_section(TrainingConfig, "training", ROOT / "params.yaml").model_copy(update=short)


def history(paths):
    return [json.loads(line) for line in paths.history.read_text().splitlines()]


def spoil(monkeypatch, spoiled_step):
    """Make the images of one step not a number."""
    drawn = train_module.batches

    def spoiled(*arguments):
        for step, batch in enumerate(drawn(*arguments)):
            yield batch._replace(images=torch.full_like(batch.images, torch.nan)) if step == spoiled_step else batch

    monkeypatch.setattr(train_module, "batches", spoiled)


def test_a_batch_that_breaks_the_training_is_kept_with_the_last_good_state(paths, model, training, monkeypatch):
    spoil(monkeypatch, 3)

    with pytest.raises(FloatingPointError, match=r"step 3: .*kept: its batch in .*, the last good state in") as error:
        train(SIZE, model, training, OPERATING_POINT, paths=paths, state=Path("state"))

    with np.load(Path("state", "refused_batch.npz"), allow_pickle=False) as batch:
        assert np.isnan(batch["images"]).all()
        assert batch["is_normal"].tolist() == [True, True, False, False]
    (state,) = Path("state").glob("*.pt")
    assert str(state) in str(error.value)
    assert torch.load(state, weights_only=True)["trainer"]["step"] == 2
    assert not paths.model.exists()


def test_a_training_that_broke_goes_on_from_its_last_good_state(paths, model, training):
    with pytest.MonkeyPatch.context() as patch:
        spoil(patch, 3)
        with pytest.raises(FloatingPointError):
            train(SIZE, model, training, OPERATING_POINT, paths=paths, state=Path("broken"))

    train(SIZE, model, training, OPERATING_POINT, paths=paths, state=Path("broken"))
    mended = (paths.model / "model.safetensors").read_bytes()
    train(SIZE, model, training, OPERATING_POINT, paths=paths, state=Path("whole"))

    assert mended == (paths.model / "model.safetensors").read_bytes()
    assert [line["step"] for line in history(paths)] == [2, 4]
    assert not list(Path("broken").iterdir())


def test_a_model_knows_the_errors_of_normal_images_held_out_of_training(paths, model, training):
    train(SIZE, model, training, OPERATING_POINT, paths=paths, state=Path("state"))
    detector = Detector.load(paths.model)
    kept = detector.weights["usual_errors"].clone()

    detector.calibrate(detector.read([paths.images / f"val/{index}.png" for index in range(6, 10)]))

    assert 0 < float(kept[0]) < float(kept[1])
    torch.testing.assert_close(detector.weights["usual_errors"], kept, atol=1e-6, rtol=0)


def test_the_rival_goes_through_the_same_stages(paths):
    memorise(SIZE, PATCHCORE, OPERATING_POINT, 0, paths=paths)
    figures = EvaluationConfig.model_validate(
        {
            "figures": {"fpr_limit": 0.3, "resamples": 20, "seed": 0},
            "curve_points": 5,
            "histogram_bins": 4,
            "pictures": 1,
        }
    )
    evaluate(figures, paths=paths)
    effort = Effort(threads=(1,), rounds=2, warmup=0, long_rounds=1, memory=False)
    benchmark(BenchmarkConfig(batch_sizes=(1,), stage=effort, bench=effort), paths=paths)

    metrics, cost = json.loads(paths.metrics.read_text()), json.loads(paths.benchmark.read_text())
    assert metrics["image_auroc"] == 1.0
    assert metrics["pixel_auroc"] > 0.9
    assert [line["step"] for line in history(paths)] == [1]
    assert list(pd.read_csv(paths.training_curves)["step"]) == [1]
    assert list(cost["gmac_per_image"]) == ["patchcore"]
    assert cost["parameters"]["bank"] > 0
    assert list(json.loads(paths.latency.read_text())["predict"]) == ["patchcore"]
    assert isinstance(Detector.load(paths.model).config.model, PatchCoreConfig)


def test_the_rivals_threshold_lets_through_normal_validation_images(paths):
    memorise(SIZE, PATCHCORE, OPERATING_POINT, 0, paths=paths)
    detector = Detector.load(paths.model)

    normal = detector.predict([paths.images / f"val/{index}.png" for index in range(6, 10)])

    assert int(normal.is_anomalous.sum()) <= 1


def test_two_fits_of_the_rival_give_the_same_bytes(paths):
    def fitted():
        memorise(SIZE, PATCHCORE, OPERATING_POINT, 0, paths=paths)
        return {file.name: file.read_bytes() for file in paths.model.iterdir()}

    assert fitted() == fitted()
