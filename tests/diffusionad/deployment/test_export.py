"""Exports of a tiny model, opened and run by the real runtimes."""

import importlib
import shutil

import numpy as np
import pytest
import torch

from diffusionad.deployment.export import write_export
from diffusionad.runtime import engines
from diffusionad.runtime.engines import Variant, onnx_engine, open_engine, openvino_engine, torch_engine

pytest.importorskip("onnxruntime")
pytest.importorskip("openvino")

FP32 = [Variant("onnx", "fp32"), Variant("openvino", "fp32")]


@pytest.fixture
def written(build, tmp_path):
    """Makes an export; gives the detector and the detector on that runtime."""

    def written(variant, **changes):
        _, detector = build(**changes)
        form = detector.form()
        one = torch.rand(1, 3, *detector.config.image_size, generator=torch.Generator().manual_seed(5))
        calibration = [(one, detector.noise(one, form.noise_keys))] * 2
        write_export(form, variant, calibration, tmp_path)
        return detector, detector.with_engine(variant, open_engine(tmp_path, variant, 1))

    return written


@pytest.mark.parametrize("variant", FP32, ids=str)
@pytest.mark.parametrize(
    "changes",
    [
        {"mode": "norm_guided"},
        {"mode": "one_step"},
        {"segmenter_input": "features"},
        {
            "guidance": {
                "t_s": 20,
                "t_b": 40,
                "tau": 30,
                "scale": 1.0,
                "t_s_range": None,
                "local": {"exponent": 1.0, "window_fraction": 0.2},
            }
        },
    ],
    ids=str,
)
def test_in_fp32_an_export_says_what_torch_says_at_any_batch(written, images, variant, changes):
    detector, exported = written(variant, **changes)

    for batch_size in (1, 3):
        expected, answer = detector.predict(images), exported.predict(images, batch_size=batch_size)
        for one, other in zip(answer[:4], expected[:4], strict=True):
            torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
        assert torch.equal(answer.is_anomalous, expected.is_anomalous)


def test_the_file_alone_gives_the_image_score(written, images, tmp_path):
    runtime = importlib.import_module("onnxruntime")
    detector, _ = written(FP32[0])
    noise = detector.noise(images, detector.form().noise_keys)
    session = runtime.InferenceSession(tmp_path / "model.onnx")

    (score,) = session.run(["image_score"], {"images": images.numpy(), "noise": noise.numpy()})

    np.testing.assert_allclose(score, detector.predict(images).image_score, atol=1e-5)


@pytest.mark.parametrize("variant", [Variant("onnx", "int8"), Variant("openvino", "int8")], ids=str)
def test_int8_is_near_and_not_the_same(written, images, variant):
    detector, exported = written(variant)

    difference = (exported.predict(images).anomaly_map - detector.predict(images).anomaly_map).abs().max()

    assert 1e-6 < float(difference) < 0.1


def test_another_mode_than_the_exported_one_runs_by_torch(written, images):
    detector, exported = written(FP32[0])

    assert torch.equal(
        exported.predict(images, mode="ddim").image_score, detector.predict(images, mode="ddim").image_score
    )


@pytest.mark.parametrize("extra", ["onnx", "openvino"])
def test_a_runtime_that_is_not_installed_is_named_with_its_extra(monkeypatch, tmp_path, extra):
    def missing(name):
        raise ModuleNotFoundError(name)

    (tmp_path / "model.onnx").touch()
    monkeypatch.setattr(engines.importlib, "import_module", missing)

    with pytest.raises(ValueError, match=rf"is not installed; run `.venv/bin/pip install -e '\.\[{extra}\]'`"):
        open_engine(tmp_path, Variant(extra, "fp32"), 1)


@pytest.mark.parametrize("opened", [lambda file: onnx_engine(file, 1), lambda file: openvino_engine(file, "fp32", 1)])
def test_a_damaged_file_is_refused_in_one_line(tmp_path, opened):
    file = tmp_path / "model.onnx"
    file.write_bytes(b"no model")

    with pytest.raises(ValueError, match=rf"\A{file}: (ONNX Runtime|OpenVINO) cannot read it: [^\n]*\Z"):
        opened(file)


def test_an_empty_folder_has_no_export(tmp_path):
    with pytest.raises(ValueError, match=r"no exported model here; run `diffusionad export`"):
        open_engine(tmp_path, FP32[0], 1)


def test_torch_refuses_what_it_cannot_do_fast(build, monkeypatch):
    _, detector = build()
    monkeypatch.setattr(engines, "has_bf16", lambda: False)

    with pytest.raises(ValueError, match="no bf16 instructions"):
        torch_engine(detector.form(), "bf16")
    with pytest.raises(ValueError, match="torch has no int8 runtime here; export to onnx or openvino"):
        torch_engine(detector.form(), "int8")


def test_networks_in_bf16_are_near(build, images, monkeypatch):
    """Forced on: a CPU without the instructions emulates them, slowly but with the same digits."""
    _, detector = build()
    monkeypatch.setattr(engines, "has_bf16", lambda: True)
    coarse = detector.with_engine(Variant("torch", "bf16"), torch_engine(detector.form(), "bf16"))

    difference = (coarse.predict(images).anomaly_map - detector.predict(images).anomaly_map).abs().max()

    assert 1e-5 < float(difference) < 0.05


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.filterwarnings("ignore")  # what the compiler of torch says of itself
def test_what_torch_compiles_says_the_same(build, images):
    _, detector = build()
    fused = detector.with_engine(Variant("torch", "fp32"), torch_engine(detector.form(), compiled=True))

    difference = (fused.predict(images).anomaly_map - detector.predict(images).anomaly_map).abs().max()

    assert float(difference) < 1e-4
