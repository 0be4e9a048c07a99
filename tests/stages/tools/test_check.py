import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.tools.check import SECTIONS, faults
from stages.tools.settings import lay_over
from toys.params import set_values

ROOT = Path(__file__).parents[3]
# The rooms above read these themselves.
OTHERS = {"categories", "datasets", "ablation", "promotion", "orchestration"}


@pytest.fixture
def params(tmp_path):
    """Makes a copy of params.yaml with values replaced, by dotted name."""

    def make(**values):
        file = shutil.copy(ROOT / "params.yaml", tmp_path / "params.yaml")
        set_values(file, **values)
        return file

    return make


def test_every_section_of_the_stages_is_checked(params):
    assert set(YAML(typ="safe").load(params())) == set(SECTIONS) | OTHERS


@pytest.mark.parametrize("profile", ["test", "starter", "paper", "features", "parts", "patchcore"])
def test_every_profile_is_sound(tmp_path, profile):
    file = tmp_path / "params.yaml"
    shutil.copy(ROOT / "params.yaml", file)
    lay_over(ROOT / "params" / f"{profile}.yaml", file)

    assert list(faults(file)) == []


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"evaluation__pictures": "many"}, "`evaluation.pictures`: Input should be a valid integer"),
        ({"training__stepz": 5}, "unknown key `training.stepz`"),
        ({"model__unet__norm_groups": 7}, "`model`: model.unet: norm_groups = 7 does not divide the 16 channels"),
        ({"categories__tiles": {"dataset": "tile", "category": "all"}}, "no `tile` in `datasets`; it holds elpv,"),
        ({"categories__tiles": {"dataset": "elpv"}}, "`categories.tiles.category` is missing; add it"),
    ],
)
def test_a_fault_is_a_line_that_names_its_place(params, values, line):
    (found,) = faults(params(**values))

    assert line in found
    assert "\n" not in found


def test_all_faults_are_named_at_once(params):
    found = list(faults(params(evaluation__pictures="many", training__steps=0)))

    assert len(found) == 2
