"""Figures of reconstructions: what a copy, the original and their mean have."""

import numpy as np
import pytest
import torch
from PIL import Image

from diffusionad.runtime.batches import to_tensor
from stages.common.synthetic import SyntheticSet
from stages.evaluate.reconstructions import reconstruction_figures

SIDE = 32


@pytest.fixture
def originals(tmp_path):
    """Three photographs, (3, 3, 32, 32), and the folder that they lie in."""
    pixels = np.random.default_rng(0).integers(90, 160, (3, SIDE, SIDE, 3), np.uint8)
    for index, one in enumerate(pixels):
        Image.fromarray(one).save(tmp_path / f"{index}.png")
    return to_tensor(pixels.astype(np.float32) / 255), tmp_path


@pytest.fixture
def synthetic(originals):
    """A square that is darker by 0.3, the largest on the first photograph."""
    images, masks = originals[0].permute(0, 2, 3, 1).numpy().copy(), np.zeros((3, SIDE, SIDE), np.bool_)
    for index, side in enumerate((20, 12, 10)):
        masks[index, 4 : 4 + side, 4 : 4 + side] = True
    images[masks] -= 0.3
    return SyntheticSet(images, masks, ("0.png", "1.png", "2.png"))


def test_a_copy_keeps_all_of_the_anomaly(synthetic, originals):
    figures = reconstruction_figures(synthetic, to_tensor(synthetic.images), originals[1])

    assert figures["reconstruction_psnr_normal"] == pytest.approx(100)
    assert figures["reconstruction_psnr_anomalous"] == pytest.approx(-20 * np.log10(0.3), abs=1e-3)
    assert figures["reconstruction_kept_anomaly"] == pytest.approx(1)
    assert figures["reconstruction_feature_distance"] == pytest.approx(1)
    assert "reconstruction_reason" not in figures


def test_the_original_keeps_nothing(synthetic, originals):
    figures = reconstruction_figures(synthetic, originals[0], originals[1])

    assert figures["reconstruction_psnr_anomalous"] == pytest.approx(100)
    assert figures["reconstruction_kept_anomaly"] == pytest.approx(0, abs=1e-6)
    assert figures["reconstruction_feature_distance"] == pytest.approx(0, abs=1e-6)


def test_half_of_the_contrast_is_half_of_the_anomaly_and_an_error_elsewhere_is_none_of_it(synthetic, originals):
    anomalous, outside = to_tensor(synthetic.images), ~torch.from_numpy(synthetic.masks)[:, None]
    made = (originals[0] + anomalous) / 2 + 0.1 * outside

    figures = reconstruction_figures(synthetic, made, originals[1])

    assert figures["reconstruction_psnr_normal"] == pytest.approx(20, abs=1e-3)
    assert figures["reconstruction_psnr_anomalous"] == pytest.approx(-20 * np.log10(0.15), abs=1e-3)
    assert figures["reconstruction_kept_anomaly"] == pytest.approx(0.5)


def test_without_a_synthetic_set_the_figures_are_null_and_say_why(tmp_path):
    figures = reconstruction_figures(None, None, tmp_path)

    assert [value for name, value in figures.items() if name != "reconstruction_reason"] == [None] * 4
    assert "no synthetic test set" in figures["reconstruction_reason"]


def test_without_the_weights_only_the_distance_of_features_is_missing(synthetic, originals, monkeypatch):
    monkeypatch.setattr("diffusionad.networks.efficientnet.PACKAGE", "a-package-that-nobody-has-installed")

    figures = reconstruction_figures(synthetic, originals[0], originals[1])

    assert figures["reconstruction_feature_distance"] is None
    assert "pip install" in figures["reconstruction_reason"]
    assert figures["reconstruction_psnr_anomalous"] == pytest.approx(100)


def test_a_set_that_does_not_name_its_originals_is_refused(synthetic, originals):
    with pytest.raises(ValueError, match="does not name its originals; run `dvc repro`"):
        reconstruction_figures(synthetic._replace(paths=()), originals[0], originals[1])
