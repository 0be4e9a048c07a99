"""Checkpoints as the authors' train.py writes them, of a network small enough to be made here."""

import json
import sys
import zlib
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from diffusionad.detector import Detector
from stages.tools.import_reference import import_reference

ROOT = Path(__file__).parents[3]
ARGS = {
    "img_size": [32, 32],
    "base_channels": 32,
    "channel_mults": [1, 1, 2],
    "num_heads": 4,
    "T": 1000,
    "beta_schedule": "linear",
    "eval_normal_t": 200,
    "eval_noisier_t": 400,
    "less_t_range": 300,
    "condition_w": 1,
    "output_path": "outputs",
}


@pytest.fixture(scope="module")
def golden():
    with np.load(ROOT / "tests" / "golden" / "golden_32.npz", allow_pickle=False) as stored:
        return dict(stored)


def weights(golden, network):
    """The weights behind the golden arrays, by their formula, under the authors' names."""

    def draw(key, shape):
        z = np.random.Generator(np.random.PCG64(zlib.crc32(f"{network}.{key}".encode()))).standard_normal(shape)
        z = torch.from_numpy(np.asarray(z, np.float32))
        if key.endswith("num_batches_tracked"):
            return torch.zeros(shape, dtype=torch.int64)
        if key.endswith("running_mean") or (key.endswith("bias") and len(shape) == 1):
            return 0.1 * z
        if key.endswith("running_var"):
            return 1 + 0.1 * z.abs()
        if key.endswith("weight") and len(shape) == 1:
            return 1 + 0.1 * z
        return z / np.sqrt(np.prod(shape[1:])).astype(np.float32)

    shapes = [tuple(json.loads(str(shape))) for shape in golden[f"{network}_shapes"]]
    return {str(key): draw(str(key), shape) for key, shape in zip(golden[f"{network}_keys"], shapes, strict=True)}


@pytest.fixture
def state(golden):
    args = defaultdict(str)
    args.update(ARGS)
    return {
        "n_epoch": 3000,
        "unet_model_state_dict": weights(golden, "unet"),
        "seg_model_state_dict": weights(golden, "seg"),
        "args": args,
    }


def run(state, tmp_path):
    """Write the checkpoint into the folder of its class, import it, load it."""
    checkpoint = tmp_path / "hazelnut" / "params-last.pt"
    checkpoint.parent.mkdir()
    torch.save(state, checkpoint)
    folder = tmp_path / "models" / "imported"
    import_reference(checkpoint, folder, params=ROOT / "params.yaml", paper=ROOT / "params" / "paper.yaml")
    return Detector.load(folder)


def test_an_imported_model_marks_the_pixels_that_the_authors_code_marks(golden, state, tmp_path):
    detector = run(state, tmp_path)
    model = detector.config.build()
    model.load_state_dict(load_file(tmp_path / "models" / "imported" / "model.safetensors"))
    guidance = detector.config.model.guidance
    noise = {guidance.t_s: torch.from_numpy(golden["noise_s"]), guidance.t_b: torch.from_numpy(golden["noise_b"])}

    with torch.inference_mode():
        output = model.eval().infer(torch.from_numpy(golden["x0"]), noise.__getitem__, "norm_guided")

    assert (int(golden["t_s"].flat[0]), int(golden["t_b"].flat[0])) == (200, 400)
    marked = torch.sigmoid(output.mask_logits)
    torch.testing.assert_close(marked, torch.from_numpy(golden["anomaly_map"])[:, 0], atol=1e-4, rtol=0)


def test_the_settings_are_the_papers_and_the_checkpoints_own(state, tmp_path):
    state["args"] |= {"condition_w": 2, "eval_normal_t": 150}

    config = run(state, tmp_path).config

    assert config.category == "hazelnut"
    assert config.image_size == (32, 32)
    assert (config.model.value_range, config.model.prediction) == ("unit", "epsilon")
    assert (config.model.guidance.scale, config.model.guidance.t_s, config.model.guidance.t_b) == (2, 150, 400)
    assert config.model.top_k_fraction * 32 * 32 == 50


def test_missing_unknown_and_misshapen_weights_are_told_in_one_line(state, tmp_path):
    unet = state["unet_model_state_dict"]
    del unet["time_embedding.1.weight"]
    unet["ema.weight"] = torch.zeros(1)
    unet["out.2.bias"] = torch.zeros(6)

    with pytest.raises(
        ValueError,
        match=r"params-last\.pt: its reconstruction network .* 1 missing \(`time\.0\.weight`\), 1 unknown "
        r"\(`ema\.weight`\), 1 of another shape \(`last\.2\.bias` is \(6,\), expected \(3,\)\)$",
    ):
        run(state, tmp_path)
    assert not (tmp_path / "models" / "imported").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"img_size": [512, 512], "channel_mults": ""}, r"its images are 512 px; the authors' network knows 256, 128"),
        ({"base_channels": 64}, r"its reconstruction network is not the one that its `args` describe: .*another shape"),
        ({"beta_schedule": "cosine"}, r"its noise schedule is `cosine`"),
        ({"eval_normal_t": 500}, r"guidance needs t_s < t_b"),
    ],
)
def test_settings_that_do_not_fit_are_named(state, tmp_path, change, message):
    state["args"] |= change

    with pytest.raises(ValueError, match=message):
        run(state, tmp_path)


def test_a_checkpoint_without_a_setting_is_refused(state, tmp_path):
    del state["args"]["less_t_range"]

    with pytest.raises(ValueError, match="its `args` lack a setting or have another form: 'less_t_range'"):
        run(state, tmp_path)


def test_a_checkpoint_of_something_else_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected unet_model_state_dict, .*got \['epoch', 'state_dict'\]"):
        run({"epoch": 3, "state_dict": {}}, tmp_path)


class Bomb:
    def __reduce__(self):
        return (sys.exit, ("executed",))


def test_what_is_pickled_in_a_checkpoint_is_not_executed(state, tmp_path):
    with pytest.raises(ValueError, match="holds more than weights and settings, and is not read"):
        run(state | {"extra": Bomb()}, tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04 half an archive"])
def test_a_file_that_is_no_checkpoint_is_refused_in_one_line(tmp_path, content):
    file = tmp_path / "params-last.pt"
    file.write_bytes(content)

    with pytest.raises(ValueError, match=r"params-last\.pt: ") as caught:
        import_reference(file, tmp_path / "out")

    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"params-best\.pt: not found"):
        import_reference(tmp_path / "params-best.pt", tmp_path / "out")
