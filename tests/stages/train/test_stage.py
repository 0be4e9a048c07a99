"""Training on a few drawn images: what is written, what is kept when it breaks, and a kind without steps."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from diffusionad.data.manifest import read_manifest
from diffusionad.detector import Detector
from stages.benchmark.stage import BenchmarkConfig, benchmark
from stages.benchmark.timing import Effort
from stages.evaluate.stage import EvaluationConfig, evaluate
from stages.train import stage as train_module
from stages.train.selection import OperatingPointConfig, load_validation, publish
from toys.detectors import TINY, read_config

MODEL = read_config(TINY)
PATCHCORE = read_config(
    {
        "kind": "patchcore",
        "backbone_levels": [1, 2],
        "coreset_fraction": 0.2,
        "candidates": 3,
        "projection_dims": 16,
        "smoothing_fraction": 0.02,
        "top_k_fraction": 0.01,
    }
)


def history(paths):
    return [json.loads(line) for line in paths.history.read_text().splitlines()]


def spoil(monkeypatch, spoiled_step):
    """Make the images of one step not a number."""
    drawn = train_module.batches

    def spoiled(*arguments, **options):
        for step, batch in enumerate(drawn(*arguments, **options)):
            yield batch._replace(images=torch.full_like(batch.images, torch.nan)) if step == spoiled_step else batch

    monkeypatch.setattr(train_module, "batches", spoiled)


def test_a_batch_that_breaks_the_training_is_kept_with_the_last_good_state(paths, train_on, monkeypatch):
    spoil(monkeypatch, 3)

    with pytest.raises(FloatingPointError, match=r"step 3: .*kept: its batch in .*, the last good state in") as error:
        train_on(MODEL)

    with np.load(Path("state", "refused_batch.npz"), allow_pickle=False) as batch:
        assert np.isnan(batch["images"]).all()
        assert batch["is_normal"].tolist() == [True, True, False, False]
    (state,) = Path("state").glob("*.pt")
    assert str(state) in str(error.value)
    assert torch.load(state, weights_only=True)["trainer"]["step"] == 2
    assert not paths.model.exists()


def test_a_training_that_broke_goes_on_from_its_last_good_state(paths, train_on):
    with pytest.MonkeyPatch.context() as patch:
        spoil(patch, 3)
        with pytest.raises(FloatingPointError):
            train_on(MODEL, "broken")

    train_on(MODEL, "broken")
    mended = (paths.model / "model.safetensors").read_bytes()
    train_on(MODEL, "whole")

    assert mended == (paths.model / "model.safetensors").read_bytes()
    assert [line["step"] for line in history(paths)] == [2, 4]
    assert not list(Path("broken").iterdir())


def test_a_model_knows_the_errors_of_normal_images_held_out_of_training(paths, train_on):
    train_on(MODEL)
    detector = Detector.load(paths.model)
    kept = detector.weights["normal_error_range"].clone()

    detector.calibrate(detector.read([paths.images / f"val/{index}.png" for index in range(6, 10)]))

    assert 0 < float(kept[0]) < float(kept[1])
    torch.testing.assert_close(detector.weights["normal_error_range"], kept, atol=1e-6, rtol=0)


def test_what_too_few_images_cannot_promise_is_logged_and_kept_with_the_model(paths, train_on, caplog):
    """Four normal images set the threshold: 1 / 5 is the best they can promise, which a rate of 0.2 asks for."""
    caplog.set_level("INFO")
    train_on(PATCHCORE)
    (enough,) = (record for record in caplog.records if "set the threshold" in record.message)
    scale = Detector.load(paths.model).config.scale
    assert (len(scale.normal_scores), scale.false_alarm_rate, scale.judged_by_copies) == (4, 0.2, 0)

    caplog.clear()
    train_on(PATCHCORE, false_alarm_rate=0.05)
    (short,) = (record for record in caplog.records if "set the threshold" in record.message)

    assert (enough.levelname, short.levelname) == ("INFO", "WARNING")
    assert "can promise 20.0 % false alarms at best; 20.0 % was asked, which needs 4: about 12 good" in enough.message
    assert "which needs 19: about 57 good photographs, split as these are; 20.0 % is promised" in short.message
    assert Detector.load(paths.model).config.scale.false_alarm_rate == 0.05


def test_images_that_copies_judged_count_as_those_of_the_validation_set_do(paths, train_on, caplog):
    """Four for validation and fifteen trained on make nineteen, which 5 % needs; none reaches the threshold."""
    train_on(PATCHCORE)
    trained = Detector.load(paths.model)
    config = trained.config.model_copy(update={"threshold": 0.0, "scale": None})
    model = config.build()
    model.load_state_dict(trained.weights)
    detector = Detector(model, config)
    validation = load_validation(read_manifest(paths.manifest).query("split == 'val'"), config.image_size, paths)
    held_out = torch.linspace(0.2, 0.4, 15, dtype=torch.float64)
    caplog.set_level("INFO")
    caplog.clear()

    for count, level in ((15, "INFO"), (14, "WARNING")):
        publish(
            detector,
            {"step": 1, "val_image_auroc": 1.0, "val_pixel_ap": 1.0},
            validation,
            OperatingPointConfig(false_alarm_rate=0.05),
            paths,
            40,
            held_out[:count],
        )
        kept = Detector.load(paths.model).config
        (told,) = (record for record in caplog.records if "set the threshold" in record.message)
        caplog.clear()

        assert (len(kept.scale.normal_scores), kept.scale.judged_by_copies, told.levelname) == (4 + count, count, level)
        assert kept.threshold > max(kept.scale.normal_scores)
        assert set(held_out[:count].tolist()) <= set(kept.scale.normal_scores)


def test_the_rival_goes_through_the_same_stages(paths, train_on):
    train_on(PATCHCORE)
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
    assert Detector.load(paths.model).config.model == PATCHCORE


def test_the_rivals_threshold_lets_through_normal_validation_images(paths, train_on):
    train_on(PATCHCORE)
    detector = Detector.load(paths.model)

    normal = detector.predict([paths.images / f"val/{index}.png" for index in range(6, 10)])

    assert int(normal.is_anomalous.sum()) <= 1


def test_two_fits_of_the_rival_give_the_same_bytes(paths, train_on):
    def fitted():
        train_on(PATCHCORE)
        return {file.name: file.read_bytes() for file in paths.model.iterdir()}

    assert fitted() == fitted()
