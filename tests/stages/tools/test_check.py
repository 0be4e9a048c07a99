from pathlib import Path

import pytest
from ruamel.yaml import YAML

from diffusionad.detectors import kinds
from stages.params import detector_file
from stages.tools.check import SECTIONS, faults
from stages.tools.settings import copy_settings, lay_over
from toys.params import set_values

ROOT = Path(__file__).parents[3]
# The rooms above read these themselves.
OTHERS = {"categories", "datasets", "ablation", "promotion", "orchestration"}


@pytest.fixture
def params(tmp_path):
    """Makes a copy of all settings, with values of params.yaml replaced, by dotted name."""

    def make(**values):
        file = copy_settings(ROOT / "params.yaml", tmp_path)
        set_values(file, **values)
        return file

    return make


def test_every_section_of_the_stages_is_checked(params):
    assert set(YAML(typ="safe").load(params())) == set(SECTIONS) | OTHERS


@pytest.mark.parametrize("profile", ["test", "starter", "paper", "features", "parts"])
def test_every_profile_is_sound(tmp_path, profile):
    file = copy_settings(ROOT / "params.yaml", tmp_path)
    lay_over(ROOT / "params" / f"{profile}.yaml", file)

    assert list(faults(file)) == []


@pytest.mark.parametrize(
    ("values", "line"),
    [
        ({"evaluation__pictures": "many"}, "`evaluation.pictures`: Input should be a valid integer"),
        ({"training__stepz": 5}, "unknown key `training.stepz`"),
        ({"categories__elpv-mono__dataset": "tile"}, "no `tile` in `datasets`; it holds elpv,"),
        ({"categories__tiles": {"dataset": "elpv"}}, "`categories.tiles.category` is missing; add it"),
        (
            {"categories__v1.2": {"dataset": "elpv", "category": "all"}},
            "key 'v1.2' of `categories`: expected a text of",
        ),
        (
            {"categories__tiles": {"dataset": "elpv", "category": "mono"}},
            "are both elpv/mono, and would write the same",
        ),
        (
            {"categories__tiles": {"dataset": "elpv", "category": "all"}},
            "`categories.tiles.detector` is missing; name a kind",
        ),
        (
            {"categories__tiles": {"dataset": "elpv", "category": "all", "detector": "patchwork"}},
            "there is no detector `patchwork`; expected one of " + ", ".join(kinds()),
        ),
        (
            {
                "categories__tiles": {
                    "dataset": "elpv",
                    "category": "all",
                    "detector": "autoencoder",
                    "image_size": [90, 90],
                }
            },
            "params/detectors/autoencoder.yaml: for `categories.tiles`: `autoencoder` halves an image down to",
        ),
    ],
)
def test_a_fault_is_a_line_that_names_its_place(params, values, line):
    (found,) = faults(params(**values))

    assert line in found
    assert "\n" not in found


@pytest.mark.parametrize(
    ("values", "line"),
    [
        (
            {"unet__norm_groups": 7},
            "diffusionad.yaml: for `categories.elpv-mono`: `unet`: norm_groups = 7 does not divide",
        ),
        ({"guidance__t_s": "late"}, "diffusionad.yaml: `guidance.t_s`: Input should be a valid integer"),
        ({"unet__width": 3}, "diffusionad.yaml: unknown key `unet.width`"),
    ],
)
def test_a_fault_in_the_settings_of_a_detector_is_a_line_that_names_their_file(params, values, line):
    file = params(**{"categories__elpv-mono__detector": "diffusionad"})
    set_values(detector_file("diffusionad", file), **values)

    (found,) = faults(file)

    assert str(file.parent / "params" / "detectors" / line) in found
    assert "\n" not in found


def test_a_detector_without_settings_is_a_line_that_names_their_file(params):
    file = params(**{"categories__elpv-mono__detector": "diffusionad"})
    missing = detector_file("diffusionad", file)
    missing.unlink()

    assert list(faults(file)) == [f"{missing}: not found; the settings of detector `diffusionad` stand there"]


def test_all_faults_are_named_at_once(params):
    found = list(faults(params(evaluation__pictures="many", training__steps=0)))

    assert len(found) == 2
