import json
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML

from diffusionad.detector import Detector
from diffusionad.detectors.ensemble.model import Ensemble, EnsembleConfig
from diffusionad.detectors.shared.frozen import encode
from toys.detectors import describe_detector
from toys.images import ToyImages
from toys.stripes import stripes, with_square

ROOT = Path(__file__).parents[4]
SIZE = (64, 64)
MEMORY = {
    "kind": "feature_diffusion",
    "top_k_fraction": 1e-4,
    "memory": {
        "levels": [2, 4],
        "coreset_fraction": 0.2,
        "max_patches": 1000,
        "candidates": 2,
        "projection_dims": 32,
        "sigma_s": 0.0,
        "sigma_b": 0.0,
        "scale": 0.0,
        "residual": "raw",
        "smoothing_fraction": 0.0,
    },
}
HEAD = {
    "kind": "feature_head",
    "top_k_fraction": 1e-4,
    "grids": [{"stride": 4, "levels": [1, 2], "pooled": False, "smoothing_fraction": 0.0}],
    "head": {
        "hidden": 16,
        "noise_deviation": 0.5,
        "synthetic_images": 8,
        "synthetic_megapixels": 1,
        "normal_positions": 400,
        "synthetic_positions": 200,
        "steps": 20,
        "positions_per_step": 64,
        "hardest_fraction": 0.5,
        "learning_rate": 1e-2,
        "weight_decay": 1e-3,
    },
}


def config_of(members):
    settings = {"kind": "ensemble", "top_k_fraction": 1e-4, "members": members}
    return EnsembleConfig.model_validate_json(json.dumps(settings))


def fitted(members):
    model = Ensemble(config_of(members), SIZE)
    (phase,) = model.phases
    phase.fit(ToyImages(stripes(8)), torch.Generator().manual_seed(0))
    return model.eval()


def detector_of(model):
    return Detector(model, describe_detector(model.config, SIZE))


@pytest.fixture(scope="module")
def model():
    return fitted({"memory": {"weight": 3, "detector": MEMORY}, "head": {"weight": 1, "detector": HEAD}})


def test_its_map_is_the_weighted_mean_of_the_maps_of_its_members(model):
    prediction = detector_of(model).predict(with_square(stripes(2, seed=1)))

    assert model.members == {"memory": 0.75, "head": 0.25}
    mean = 0.75 * prediction.member_logits[:, 0] + 0.25 * prediction.member_logits[:, 1]
    torch.testing.assert_close(prediction.mask_logits, mean)


@torch.no_grad()
def test_a_member_says_what_it_says_alone(model):
    """The member with a backbone of its own gives the map that the ensemble reports."""
    images = with_square(stripes(2, seed=1))
    memory = model.member_models["memory"]

    alone = 3 * (memory.deviation(encode(model.backbone, model._levels, images)) - 1)  # noqa: SLF001

    torch.testing.assert_close(detector_of(model).predict(images).member_logits[:, 0], alone, rtol=1e-4, atol=1e-4)


def test_it_holds_one_backbone(model):
    names = [name for name in model.state_dict() if "stem" in name]

    assert names
    assert all(name.startswith("backbone.") for name in names)


def test_it_finds_a_square_and_scores_normal_images_that_it_left_out(model):
    detector, images = detector_of(model), stripes(3, seed=2)

    assert detector.predict(with_square(images)).image_score.min() > detector.predict(images).image_score.max()
    assert model.held_out_scores.shape == (8,)


def test_a_member_that_cannot_be_read_is_named():
    head = json.loads(json.dumps(HEAD))
    head["head"]["steps"] = 0
    with pytest.raises(ValueError, match=r"member `feature_head`: head\.steps: Input should be greater than 0"):
        config_of({"head": {"weight": 1, "detector": head}})


def test_a_member_of_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="nothing_like_it"):
        config_of({"head": {"weight": 1, "detector": HEAD | {"kind": "nothing_like_it"}}})


def test_a_detector_over_pixels_is_no_member():
    settings = YAML(typ="safe").load(ROOT / "params" / "detectors" / "segmentation.yaml")
    config = config_of({"pixels": {"weight": 1, "detector": settings | {"kind": "segmentation"}}})

    with pytest.raises(ValueError, match="member `pixels`: a `segmentation` does not judge frozen features"):
        Ensemble(config, SIZE)
