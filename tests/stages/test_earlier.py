import logging
from pathlib import Path

from ruamel.yaml import YAML

from stages.earlier import ADDED, RENAMED, upgraded

PARAMS = Path(__file__).parents[2] / "params.yaml"


def at(params, key):
    for step in key.split("."):
        params = params[step]
    return params


def test_what_did_not_exist_has_the_value_that_ships_now():
    params = YAML(typ="safe").load(PARAMS)

    assert {key: at(params, key) for key in ADDED} == ADDED
    assert all(present in at(params, key.rpartition(".")[0]) for key, present in RENAMED.items())


def test_a_section_of_an_earlier_version_is_read_with_a_warning(caplog):
    earlier = {"max_megapixels_looked_at": 7, "contract": {"min_train": 10}}
    with caplog.at_level(logging.WARNING):
        section = upgraded(earlier, "download", Path("params.yaml"))

    assert section["max_megapixels_decoded"] == 7
    assert section["line_width_px"] == ADDED["download.line_width_px"]
    assert section["contract"]["max_mask_area"] == ADDED["download.contract.max_mask_area"]
    assert earlier == {"max_megapixels_looked_at": 7, "contract": {"min_train": 10}}
    assert (
        "`download.max_megapixels_looked_at` of an earlier version is read as `max_megapixels_decoded`" in caplog.text
    )


def test_a_section_of_this_version_and_any_other_stay(caplog):
    params = YAML(typ="safe").load(PARAMS)

    for name in ("download", "evaluation"):
        assert upgraded(params[name], name, PARAMS) == params[name]
    assert upgraded("a text", "download", PARAMS) == "a text"
    assert caplog.text == ""
