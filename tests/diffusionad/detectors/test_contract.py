"""What every kind of detector keeps, whatever it is: no kind is named here.

All kinds are trained by the real stages on drawn plates, under the test profile; one MLflow store then takes, judges
and serves them all.
"""

import importlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from ruamel.yaml import YAML

from diffusionad.data.manifest import read_manifest
from diffusionad.deployment.export import write_export
from diffusionad.detector import Detector
from diffusionad.detectors import kinds, load
from diffusionad.runtime.engines import Variant, open_engine
from stages.common.schemas import read_metrics
from stages.paths import CategoryPaths
from stages.tools.settings import copy_settings, lay_over
from toys.datasets import describe_dataset
from toys.once import make_once
from toys.params import set_values
from toys.plates import draw_category

ROOT = Path(__file__).parents[3]
KINDS = kinds()
STAGES = ("download", "foreground", "synthesize", "train", "evaluate", "benchmark")
BATCHES = (1, 3, 16)


def key_of(kind):
    return f"plates-{kind}"


def make(root):
    """Train, evaluate and benchmark a category for each kind, by the stages as DVC starts them."""
    for kind in KINDS:
        draw_category(root / "source" / kind)
    params = copy_settings(ROOT / "params.yaml", root)
    lay_over(ROOT / "params" / "test.yaml", params)
    set_values(
        params,
        datasets__plates=describe_dataset("plates", root / "source"),
        categories={key_of(kind): {"dataset": "plates", "category": kind, "detector": kind} for kind in KINDS},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        patch.delenv("DATA_MIRROR", raising=False)
        for kind in KINDS:
            patch.setattr(sys, "argv", ["a stage", key_of(kind)])
            for stage in STAGES:
                importlib.import_module(f"stages.{stage}.stage").main()


def make_registered(root, trained):
    """The same with a version of each kind, judged and made champion though a few steps pass no gate."""
    Path(root).symlink_to(trained, target_is_directory=True)
    command(root, "register", "--dataset", "plates")
    command(root, "promote", "--dataset", "plates", status=3)
    command(root, "promote", "--dataset", "plates", "--override", "--why", "a test of the interface")


def command(folder, *arguments, status=0):
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MLFLOW", "DATA"))}
    environment |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    return make_once(tmp_path_factory, "kinds", make)


@pytest.fixture(scope="session")
def registered(tmp_path_factory, trained):
    return make_once(tmp_path_factory, "registered-kinds", lambda folder: make_registered(folder, trained))


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


@pytest.fixture
def paths(kind, trained):
    return CategoryPaths("plates", kind, trained)


@pytest.fixture
def detector(paths):
    return Detector.load(paths.model)


@pytest.fixture
def images(detector, paths):
    rows = read_manifest(paths.manifest).query("split == 'test'")
    return detector.read([paths.images / name for name in rows["path"][:5]])


def test_its_config_names_it_and_its_settings_file_is_all_that_it_needs(kind):
    config = load(kind).config
    settings = YAML(typ="safe").load(ROOT / "params" / "detectors" / f"{kind}.yaml")

    assert config.model_validate_json(json.dumps(settings | {"kind": kind})).kind == kind
    assert set(config.model_fields) == {*settings, "kind"}
    with pytest.raises(ValueError, match="kind"):
        config.model_validate_json(json.dumps(settings | {"kind": "another"}))


def test_it_saves_and_loads_to_the_same_bytes(detector, paths, tmp_path):
    detector.save(tmp_path)

    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.json", "model.safetensors"]
    assert all((paths.model / file.name).read_bytes() == file.read_bytes() for file in tmp_path.iterdir())


def test_it_answers_in_the_shapes_and_ranges_that_are_promised(detector, images):
    prediction = detector.predict(images)

    batch, _, height, width = images.shape
    assert prediction.mask_logits.shape == prediction.anomaly_map.shape == (batch, height, width)
    assert prediction.image_score.dtype == torch.float64
    parts = [prediction.image_score, prediction.anomaly_map]
    if prediction.reconstruction is not None:
        assert prediction.reconstruction.shape == images.shape
        parts.append(prediction.reconstruction)
    for part in parts:
        assert 0 <= float(part.min()) <= float(part.max()) <= 1
    assert not prediction.mask_logits.requires_grad


@pytest.mark.parametrize("batch_size", BATCHES)
def test_a_score_depends_neither_on_the_batch_nor_on_the_order(detector, images, batch_size):
    straight, order = detector.predict(images), torch.tensor([3, 0, 4, 1, 2])

    split = detector.predict(images[order], batch_size=batch_size)

    torch.testing.assert_close(split.mask_logits, straight.mask_logits[order], atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(split.image_score, straight.image_score[order], atol=1e-5, rtol=0)


def test_every_mode_that_it_names_runs(detector, images):
    for name, mode in detector.modes.items():
        assert mode.passes >= 1
        assert detector.predict(images[:1], mode=name).mask_logits.isfinite().all()
    with pytest.raises(ValueError, match="it cannot infer as no such mode"):
        detector.predict(images, mode="no such mode")


def test_a_form_asks_for_the_noise_that_its_mode_names(kind, detector):
    model = detector.config.build().eval()

    for name, mode in model.modes.items():
        form = model.form(name)
        if form is not None:
            assert form.noise_keys == mode.noise_keys, (kind, name)
            assert form.image_size == detector.config.image_size


@pytest.mark.parametrize("runtime", ["onnx", "openvino"])
def test_it_is_exported_with_parity_or_says_that_it_cannot(detector, images, tmp_path, runtime):
    try:
        form = detector.form()
    except ValueError as error:
        assert str(error).endswith("so only torch runs this model")  # noqa: PT017  # one of two ways to pass
        return
    variant = Variant(runtime, "fp32")
    write_export(form, variant, (), tmp_path)
    exported = detector.with_engine(variant, open_engine(tmp_path, variant, 1))

    for batch in (images[:1], images):
        expected, answer = detector.predict(batch), exported.predict(batch)
        torch.testing.assert_close(answer.anomaly_map, expected.anomaly_map, atol=1e-4, rtol=0)
        assert (answer.reconstruction is None) == (expected.reconstruction is None)


def test_its_threshold_lets_normal_validation_images_pass(detector, paths):
    rows = read_manifest(paths.manifest).query("split == 'val'")

    prediction = detector.predict([paths.images / name for name in rows["path"]])

    assert float(prediction.is_anomalous.double().mean()) <= 0.5


def test_its_history_ends_with_figures_on_the_validation_set(paths):
    records = [json.loads(line) for line in paths.history.read_text().splitlines()]

    assert records
    assert {"step", "val_image_auroc", "val_pixel_ap", "val_pixel_pro"} <= set(records[-1])


def test_it_is_evaluated_and_a_reconstruction_is_drawn_where_there_is_one(detector, images, paths):
    figures = json.loads(paths.metrics.read_text())
    drawn = list(paths.report.glob("*-reconstruction.webp"))

    assert 0 <= figures["image_auroc_low"] <= figures["image_auroc"] <= figures["image_auroc_high"] <= 1
    assert 0 <= figures["pixel_pro"] <= 1
    rows = read_manifest(paths.manifest).query("split == 'test'")
    makes_one = detector.predict(images).reconstruction is not None
    assert len(drawn) == (len(rows) if makes_one else 0)
    page = paths.page.read_text()
    assert ('<option value="reconstruction">' in page) == makes_one
    assert f">{detector.config.model.kind}<" in page


def test_what_each_member_is_worth_is_told_where_there_are_members(detector, paths):
    members, parts = list(detector.members), read_metrics(paths.metrics).parts

    without = members if len(members) > 1 else []
    assert [part.title for part in parts] == [*(f"{m} alone" for m in members), *(f"without {m}" for m in without)]
    assert all(0 <= value <= 1 for part in parts for value in part.figures.values())
    assert ("What each member is worth" in paths.page.read_text()) == bool(members)


def test_it_is_benchmarked_in_each_of_its_modes(detector, paths):
    cost = json.loads(paths.benchmark.read_text())

    assert list(cost["gmac_per_image"]) == list(detector.modes)
    assert cost["parameters"] == detector.parameters
    assert next(iter(detector.modes)) in json.loads(paths.latency.read_text())["predict"]


@pytest.mark.slow
def test_it_is_registered_judged_and_made_champion(kind, registered):
    told = command(registered, "explain", "--dataset", "plates", "--category", kind, "champion")
    history = command(registered, "history", "--dataset", "plates", "--category", kind)

    assert "image_auroc" in told
    assert "a test of the interface" in history


@pytest.mark.slow
def test_the_champion_is_served_with_the_scores_of_the_detector(kind, registered, detector, paths, tmp_path):
    rows = read_manifest(paths.manifest).query("split == 'test'")
    folder = tmp_path / "photographs"
    for name in rows["path"][:3]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes((paths.images / name).read_bytes())

    command(
        registered, "predict", "--model", f"models:/plates-{kind}@champion", str(folder), "--out", str(tmp_path / "out")
    )

    table = pd.read_csv(io.StringIO((tmp_path / "out" / "predictions.csv").read_text())).set_index("path")
    # One by one, as the command does it: rounding errors depend on the batch.
    expected = detector.predict([paths.images / name for name in rows["path"][:3]], batch_size=1).image_score
    np.testing.assert_allclose(table.loc[list(rows["path"][:3]), "score"], expected, atol=1e-6)
