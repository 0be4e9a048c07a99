import json
import math

import pytest

from pipelines.promotion.decision import Check, Decision

GOOD = Check("floor", "image_auroc", 0.91234, ">= 0.8", passed=True, category="mono")
BAD = Check("latency", "ratio", math.nan, "<= 1.25", passed=False, category="mono")


@pytest.mark.parametrize(("checks", "promote"), [((), False), ((GOOD,), True), ((GOOD, BAD), False)])
def test_only_checks_that_all_passed_promote(checks, promote):
    assert Decision(checks).promote is promote


def test_a_reason_names_category_rule_value_and_limit():
    assert Decision((GOOD, BAD)).reasons == ("mono: latency does not hold: ratio is nan, required is <= 1.25.",)


def test_what_is_written_as_json_comes_back():
    decision = Decision((GOOD, Check("lineage", "missing", "params", "nothing", passed=False)))

    assert Decision.from_json(decision.to_json()) == decision


def test_nan_is_null_in_json():
    assert json.loads(Decision((BAD,)).to_json())["checks"][0]["value"] is None


@pytest.mark.parametrize("render", [Decision.to_table, Decision.to_markdown])
def test_every_rule_stands_in_table_and_page_with_its_verdict(render):
    text = render(Decision((GOOD, BAD)))

    rows = {rule: next(line for line in text.splitlines() if rule in line) for rule in ("floor", "latency")}
    assert "0.9123" in rows["floor"]
    assert "pass" in rows["floor"]
    assert "FAIL" in rows["latency"]
    assert "REFUSE: 1 of 2 rules do not hold" in text
