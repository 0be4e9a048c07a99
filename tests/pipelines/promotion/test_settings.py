from pathlib import Path

import pytest
from ruamel.yaml import YAML

from pipelines.promotion.settings import gate_for, read_rules

PARAMS = Path(__file__).parents[3] / "params.yaml"


@pytest.fixture
def write(tmp_path):
    def write(**overrides):
        content = {"promotion": YAML(typ="safe").load(PARAMS)["promotion"] | {"overrides": overrides}}
        YAML().dump(content, tmp_path / "params.yaml")
        return read_rules(tmp_path / "params.yaml")

    return write


def test_the_rules_of_the_project_can_be_read():
    rules = read_rules(PARAMS)

    assert gate_for(rules, "anything", "else") == rules.default
    assert gate_for(rules, "elpv", "mono").floors["pixel_pro"] is None


def test_a_category_differs_from_its_data_set_and_that_from_the_default(write):
    rules = write(
        **{"elpv": {"floors": {"image_auroc": {"mean": 0.9}}, "size_mib": 7.0}, "elpv/mono": {"size_mib": 8.0}}
    )

    mono, poly = gate_for(rules, "elpv", "mono"), gate_for(rules, "elpv", "poly")
    assert (mono.size_mib, poly.size_mib, gate_for(rules, "mvtec", "mono").size_mib) == (8, 7, rules.default.size_mib)
    assert mono.floors["image_auroc"].mean == 0.9
    assert mono.floors["image_auroc"].worst == rules.default.floors["image_auroc"].worst


@pytest.mark.parametrize(
    ("override", "complaint"),
    [({"size_mib": "big"}, "size_mib"), ({"flors": {}}, "flors"), ({"floors": {"image_auroc": 0.9}}, "image_auroc")],
)
def test_an_override_that_is_no_rule_is_refused_by_its_key(write, override, complaint):
    with pytest.raises(ValueError, match=rf"promotion.overrides for elpv/mono: .*{complaint}"):
        gate_for(write(elpv=override), "elpv", "mono")
