"""The command `diffusionad export` on a small category with real files."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from diffusionad.data.manifest import manifest_digest, write_manifest
from diffusionad.deployment import parity
from diffusionad.detector import Detector
from pipelines.serving.export import export as command
from stages.paths import CategoryPaths
from toys.detectors import build_detector
from toys.manifest import fill

pytest.importorskip("onnxruntime")

PARAMS = Path(__file__).parents[3] / "params.yaml"
SIZE = (32, 32)


@pytest.fixture
def paths(tmp_path, monkeypatch):
    """Normal photographs to train on and to validate, synthetic anomalies, and an untrained model."""
    monkeypatch.chdir(tmp_path)
    Path("params.yaml").write_text(PARAMS.read_text().replace("  rounds: 15\n", "  rounds: 2\n"))
    paths = CategoryPaths("toys", "noise")
    paths.images.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = [
        {"path": f"{i}.png", "split": split, "label": 0, "defect": "good", "mask": None}
        for i, split in enumerate(["train"] * 3 + ["val"] * 3)
    ]
    for row in rows:
        Image.fromarray(rng.integers(0, 256, (40, 44, 3), np.uint8)).save(paths.images / row["path"])
    write_manifest(fill(rows), paths.manifest, {})
    paths.synthetic.mkdir(parents=True)
    images = rng.integers(0, 256, (3, *SIZE, 3), np.uint8)
    np.savez(paths.synthetic / "val.npz", images=images, masks=np.ones((3, *SIZE), np.uint8))
    train(paths, seed=0)
    return paths


def train(paths, seed):
    paths.model.mkdir(parents=True, exist_ok=True)
    build_detector(SIZE, weights_seed=seed, manifest=manifest_digest(paths.manifest)).save(paths.model)


def export(paths, runtime="onnx", precision="fp32"):
    return command(paths.model, runtime, precision, None)


def content(folder):
    return {file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def test_an_export_is_loaded_as_a_model_is_and_says_the_same(paths):
    line = export(paths)

    files = [paths.images / f"{i}.png" for i in range(6)]
    detector = Detector.load(paths.exports, runtime="onnx")
    assert line.startswith("exports/toys/noise/onnx-fp32: the map differs from torch's by up to ")
    assert str(detector.variant) == "onnx-fp32"
    expected, answer = Detector.load(paths.model).predict(files), detector.predict(files)
    torch.testing.assert_close(answer.anomaly_map, expected.anomaly_map, atol=1e-4, rtol=0)
    torch.testing.assert_close(answer.image_score, expected.image_score, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("ms", "chosen"), [(1.0, "onnx-fp32"), (3.0, "torch-fp32")])
def test_auto_takes_the_fastest_that_was_measured_here(paths, ms, chosen):
    export(paths)
    file = paths.exports / "onnx-fp32" / "export.json"
    record = json.loads(file.read_text())
    file.write_text(json.dumps(record | {"ms": ms, "ms_torch": 2.0}))

    assert str(Detector.load(paths.exports, runtime="auto").variant) == chosen
    file.write_text(json.dumps(record | {"ms": ms, "ms_torch": 2.0, "machine": "another"}))
    assert str(Detector.load(paths.exports, runtime="auto").variant) == "torch-fp32"


def test_an_export_that_disagrees_leaves_the_last_good_one(paths, monkeypatch):
    export(paths)
    before = content(paths.exports)
    image_auroc = parity.image_auroc
    # Rank the first answers, those of the export, the wrong way round.
    monkeypatch.setattr(
        parity, "image_auroc", lambda labels, scores: 0.0 if next(turns) else image_auroc(labels, scores)
    )
    turns = iter([True, False])

    with pytest.raises(ValueError, match=r"\Aexport onnx-fp32 refused: image AUROC .* falls from [^\n]*is kept\Z"):
        export(paths)

    assert content(paths.exports) == before


def test_an_export_of_another_version_of_the_model_is_refused(paths):
    export(paths)
    train(paths, seed=1)
    for file in paths.model.iterdir():
        (paths.exports / file.name).write_bytes(file.read_bytes())

    with pytest.raises(ValueError, match=r"exports/toys/noise/onnx-fp32: made from another version of the model"):
        Detector.load(paths.exports, runtime="onnx")


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (lambda paths: export(paths, "onnx", "bf16"), "onnx-bf16: cannot be exported; expected one of onnx-fp32"),
        (lambda paths: command(paths.images, "onnx", "fp32", None), "not below models/; say where to with --out"),
        (lambda paths: Detector.load(paths.model, runtime="onnx"), "no export onnx-fp32 here; run `diffusionad export"),
        (lambda paths: command(Path("models/none"), "onnx", "fp32", None), "models/none: no model here"),
    ],
)
def test_what_cannot_be_is_one_line(paths, call, text):
    with pytest.raises(ValueError, match=r"\A[^\n]+\Z") as caught:
        call(paths)

    assert text in str(caught.value)


def test_a_model_of_other_data_is_refused(paths):
    write_manifest(pd.read_parquet(paths.manifest).assign(defect="scratch"), paths.manifest, {})

    with pytest.raises(ValueError, match=r"trained on another version of data/toys/noise/manifest.parquet"):
        export(paths)
