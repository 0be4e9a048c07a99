from pathlib import Path

import pytest
import torch
from diffusionad.model import DiffusionAD, ModelConfig
from ruamel.yaml import YAML

from stages.params import ImageConfig, read_section
from stages.tools.settings import lay_over

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


def test_a_profile_may_bring_a_data_set(tmp_path, params):
    lay_over(profile(tmp_path, "datasets:\n  mine:\n    layout: folder\n"), params)

    assert YAML(typ="safe").load(params)["datasets"]["mine"] == {"layout": "folder"}


@pytest.mark.parametrize("name", ["paper", "patchcore", "starter", "test"])
def test_every_profile_of_the_project_makes_a_valid_model(tmp_path, name):
    copy = tmp_path / "params.yaml"
    copy.write_bytes((ROOT / "params.yaml").read_bytes())

    lay_over(ROOT / "params" / f"{name}.yaml", copy)

    size = read_section(ImageConfig, "image", copy).size
    with torch.device("meta"):
        model = DiffusionAD(read_section(ModelConfig, "model", copy), size)
    assert (sum(weight.numel() for weight in model.reconstructor.parameters()) == 131_654_403) == (name == "paper")


def test_the_starter_profile_is_what_the_project_ships(tmp_path):
    copy = tmp_path / "params.yaml"
    copy.write_bytes((ROOT / "params.yaml").read_bytes())

    assert lay_over(ROOT / "params" / "starter.yaml", copy) == []
