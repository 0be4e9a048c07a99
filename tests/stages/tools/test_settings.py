from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML

from diffusionad.detectors import load
from stages.params import ImageConfig, read_section
from stages.tools.settings import copy_settings, lay_over
from stages.train.settings import read_model_config

ROOT = Path(__file__).parents[3]
PARAMS = """\
# why
training:
  steps: 10  # a comment
  size: [1, 2]
  mirror: null
datasets:
  elpv:
    layout: elpv
"""


@pytest.fixture
def params(tmp_path):
    file = tmp_path / "params.yaml"
    file.write_text(PARAMS)
    return file


def profile(tmp_path, text):
    file = tmp_path / "profile.yaml"
    file.write_text(text)
    return file


def test_a_profile_changes_its_values_and_keeps_comments_and_the_rest(tmp_path, params):
    changed = lay_over(profile(tmp_path, "training:\n  steps: 20\n  size: [1, 2]\n"), params)

    assert changed == ["training.steps"]
    assert params.read_text() == PARAMS.replace("steps: 10", "steps: 20")


def test_a_key_that_params_does_not_have_is_refused_and_nothing_is_written(tmp_path, params):
    with pytest.raises(ValueError, match=r"params.yaml has no key `training.stepz`"):
        lay_over(profile(tmp_path, "training:\n  steps: 20\n  stepz: 1\n"), params)

    assert params.read_text() == PARAMS


def test_a_profile_changes_the_settings_of_a_detector_in_their_own_file(tmp_path, params):
    file = tmp_path / "params" / "detectors" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("net:\n  width: 8  # channels\n  depth: 2\n")

    changed = lay_over(profile(tmp_path, "detectors:\n  mine:\n    net:\n      width: 4\n"), params)

    assert changed == ["detectors.mine.net.width"]
    assert file.read_text() == "net:\n  width: 4  # channels\n  depth: 2\n"
    assert params.read_text() == PARAMS


@pytest.mark.parametrize(
    ("detectors", "message"),
    [
        ("  mine:\n    widht: 4\n", "params/detectors/mine.yaml has no key `widht`"),
        ("  other:\n    width: 4\n", "other.yaml: not found"),
    ],
)
def test_a_fault_in_the_settings_of_a_detector_leaves_every_file(tmp_path, params, detectors, message):
    file = tmp_path / "params" / "detectors" / "mine.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("width: 8\n")

    with pytest.raises(ValueError, match=message):
        lay_over(profile(tmp_path, f"training:\n  steps: 20\ndetectors:\n{detectors}"), params)

    assert (params.read_text(), file.read_text()) == (PARAMS, "width: 8\n")


def test_a_profile_may_bring_a_data_set(tmp_path, params):
    lay_over(profile(tmp_path, "datasets:\n  mine:\n    layout: folder\n"), params)

    assert YAML(typ="safe").load(params)["datasets"]["mine"] == {"layout": "folder"}


@pytest.mark.parametrize("name", ["paper", "features", "parts", "starter", "test"])
def test_every_profile_of_the_project_makes_a_valid_model(tmp_path, name):
    copy = copy_settings(ROOT / "params.yaml", tmp_path)

    lay_over(ROOT / "params" / f"{name}.yaml", copy)

    size = read_section(ImageConfig, "image", copy).size
    with torch.device("meta"):
        model = load("diffusionad").model(read_model_config("diffusionad", copy), size)
    assert (sum(weight.numel() for weight in model.reconstructor.parameters()) == 131_654_403) == (name == "paper")


@pytest.mark.parametrize("name", ["paper", "features", "parts", "test"])
def test_the_starter_profile_leads_back_from_every_other_one_in_the_settings_of_detectors(tmp_path, name):
    copy = copy_settings(ROOT / "params.yaml", tmp_path)
    files = {file.name: YAML(typ="safe").load(file) for file in (ROOT / "params" / "detectors").iterdir()}

    lay_over(ROOT / "params" / f"{name}.yaml", copy)
    lay_over(ROOT / "params" / "starter.yaml", copy)

    assert {file.name: YAML(typ="safe").load(file) for file in (tmp_path / "params" / "detectors").iterdir()} == files


@pytest.mark.parametrize("name", ["paper", "features", "parts", "starter", "test"])
def test_every_profile_gives_the_same_segmenter_to_all_kinds_that_have_one(tmp_path, name):
    """The control that shows a trained segmenter its input twice takes its weights over."""
    copy = copy_settings(ROOT / "params.yaml", tmp_path)

    lay_over(ROOT / "params" / f"{name}.yaml", copy)

    models = [read_model_config(kind, copy) for kind in ("diffusionad", "autoencoder", "segmentation")]
    assert len({(one.segmenter_input, repr(one.segmenter), repr(one.feature_segmenter)) for one in models}) == 1
    assert len({(one.value_range, one.top_k_fraction) for one in models}) == 1


def test_the_starter_profile_is_what_the_project_ships(tmp_path):
    copy = copy_settings(ROOT / "params.yaml", tmp_path)

    assert lay_over(ROOT / "params" / "starter.yaml", copy) == []
