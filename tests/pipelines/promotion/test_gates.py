"""Every rule of the gate as one row of a table: what breaks it, and the checks that then fail."""

import math

import pytest
from pydantic import ValidationError

from pipelines.promotion.gates import LINEAGE, ChampionEvidence, Floor, GateConfig, GateEvidence, decide

MANIFEST, DIGEST = "a" * 64, "d" * 64

CONFIG = GateConfig(
    floors={"image_auroc": Floor(mean=0.85, worst=0.8), "pixel_pro": Floor(mean=0.5, worst=0.4), "pixel_ap": None},
    read_as="estimate",
    max_regression={"image_auroc": 0.02, "pixel_pro": None},
    max_promised_false_alarm_rate=0.05,
    max_disagreement=0.001,
    latency_ms=100.0,
    latency_ratio=1.25,
    size_mib=50.0,
    allow_warnings=False,
    require_clean_tree=True,
)
FIGURES = {
    "image_auroc": 0.9,
    "image_auroc_low": 0.7,
    "pixel_pro": 0.6,
    "pixel_pro_low": 0.55,
    "promised_false_alarm_rate": 0.05,
    "calibration_images": 19,
    "asked_false_alarm_rate": 0.05,
    "calibration_images_needed": 19,
}
CHAMPION = ChampionEvidence("3", MANIFEST, {"image_auroc": -0.01}, latency_ratio=1.1, leaked=0)
ORIGIN = {
    **dict.fromkeys(LINEAGE, "x"),
    "git.dirty": "false",
    "dvc_status": "current",
    "manifest": MANIFEST,
    "licence": "CC0",
    "non_commercial": "false",
}
GOOD = GateEvidence(
    version="4",
    digest=DIGEST,
    registered_digest=DIGEST,
    manifest=MANIFEST,
    figures=FIGURES,
    stated=FIGURES,
    leaked=0,
    latency_ms=20.0,
    size_mib=2.0,
    violations={"failed": 0, "warned": 0},
    lineage=ORIGIN,
    champion=CHAMPION,
)
NAN = math.nan


def judge(config=CONFIG, **changes):
    return decide({"mono": config}, {"mono": GOOD._replace(**changes)})


def failed(decision):
    return {(check.rule, check.subject) for check in decision.checks if not check.passed}


def figures(**changes):
    return {"figures": FIGURES | changes, "stated": FIGURES | changes}


def lineage(**changes):
    return {"lineage": GOOD.lineage | changes}


def champion(**changes):
    return {"champion": CHAMPION._replace(**changes)}


def test_good_evidence_is_promoted():
    assert judge().promote
    assert judge().reasons == ()


def test_without_a_champion_there_is_nothing_to_regress_from():
    decision = judge(champion=None)

    assert decision.promote
    assert {"no_regression"}.isdisjoint(check.rule for check in decision.checks)
    assert ("latency", "ratio") not in {(check.rule, check.subject) for check in decision.checks}


@pytest.mark.parametrize("limit", [None, 0.05])
def test_the_promise_is_stated_with_its_images_whether_or_not_it_is_demanded(limit):
    decision = judge(
        CONFIG.model_copy(update={"max_promised_false_alarm_rate": limit}),
        **figures(promised_false_alarm_rate=0.5, calibration_images=1),
    )

    (check,) = (check for check in decision.checks if check.rule == "promise")
    assert check.value == "0.5 from 1 images; 0.05 asked needs 19"
    assert (check.limit, check.passed) == (("any", True) if limit is None else ("<= 0.05", False))


WORST = {("floor", "image_auroc"), ("mean_floor", "image_auroc")}
UNLIKE = {("same_figures", "image_auroc")}
PROMISED = {("promise", "false_alarm_rate")}


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        pytest.param({"digest": "e" * 64}, {("artifact", "digest")}, id="artifact altered"),
        pytest.param({"registered_digest": None}, {("artifact", "digest")}, id="no digest registered"),
        pytest.param({"registered_digest": "", "digest": ""}, {("artifact", "digest")}, id="two empty digests"),
        pytest.param({"stated": FIGURES | {"image_auroc": 0.902}}, UNLIKE, id="the run states more"),
        pytest.param({"stated": FIGURES | {"image_auroc": 0.898}}, UNLIKE, id="the run states less"),
        pytest.param({"stated": FIGURES | {"image_auroc": None}}, UNLIKE, id="the run states null"),
        pytest.param({"stated": FIGURES | {"image_auroc": NAN}}, UNLIKE, id="the run states NaN"),
        pytest.param({"stated": FIGURES | {"pixel_ap": 0.3}}, {("same_figures", "pixel_ap")}, id="one vanished"),
        pytest.param(figures(image_auroc=0.79), WORST, id="below the floor"),
        pytest.param(figures(image_auroc=0.84), {("mean_floor", "image_auroc")}, id="below the floor of the mean"),
        pytest.param(figures(image_auroc=None), WORST, id="figure is null"),
        pytest.param(figures(image_auroc=NAN), WORST | UNLIKE, id="figure is NaN"),
        pytest.param(figures(image_auroc=1.2), WORST, id="figure above 1"),
        pytest.param(figures(image_auroc=math.inf), WORST | UNLIKE, id="figure infinite"),
        pytest.param(figures(promised_false_alarm_rate=0.5, calibration_images=1), PROMISED, id="promise of one image"),
        pytest.param(figures(promised_false_alarm_rate=None), PROMISED, id="no promise"),
        pytest.param(figures(promised_false_alarm_rate=NAN), PROMISED, id="promise is NaN"),
        pytest.param(lineage(manifest="b" * 64), {("same_data", "manifest")}, id="trained on other data"),
        pytest.param(lineage(**{"git.dirty": "true"}), {("clean_tree", "git.dirty")}, id="dirty tree"),
        pytest.param(lineage(dvc_status="train@mono"), {("up_to_date", "dvc_status")}, id="result of other code"),
        pytest.param(lineage(licence=""), {("licence", "data")}, id="no licence"),
        pytest.param(lineage(non_commercial=""), {("licence", "data")}, id="commercial use unknown"),
        pytest.param(lineage(dvc_lock=""), {("lineage", "missing")}, id="lineage incomplete"),
        pytest.param(
            {"lineage": {}},
            {
                ("lineage", "missing"),
                ("same_data", "manifest"),
                ("clean_tree", "git.dirty"),
                ("up_to_date", "dvc_status"),
                ("licence", "data"),
            },
            id="no lineage",
        ),
        pytest.param({"violations": {"failed": 1, "warned": 0}}, {("contract", "failed")}, id="contract broken"),
        pytest.param({"violations": {"failed": 0, "warned": 2}}, {("contract", "warned")}, id="contract warned"),
        pytest.param({"violations": None}, {("contract", "failed"), ("contract", "warned")}, id="no report"),
        pytest.param({"leaked": 1}, {("leak", "candidate")}, id="candidate leaks"),
        pytest.param({"leaked": None}, {("leak", "candidate")}, id="training set unknown"),
        pytest.param(champion(leaked=1), {("leak", "champion")}, id="champion leaks"),
        pytest.param(champion(leaked=None), {("leak", "champion")}, id="training set of the champion unknown"),
        pytest.param(champion(manifest="b" * 64), {("same_data", "champion")}, id="champion scored on other data"),
        pytest.param(
            champion(lower_bounds={"image_auroc": -0.021}),
            {("no_regression", "image_auroc")},
            id="worse than the margin",
        ),
        pytest.param(
            champion(lower_bounds={"image_auroc": NAN}), {("no_regression", "image_auroc")}, id="difference is NaN"
        ),
        pytest.param(champion(lower_bounds={}), {("no_regression", "image_auroc")}, id="difference missing"),
        pytest.param({"latency_ms": 101.0}, {("latency", "ms_p50")}, id="over the time budget"),
        pytest.param({"latency_ms": NAN}, {("latency", "ms_p50")}, id="time is NaN"),
        pytest.param({"latency_ms": 0.0}, {("latency", "ms_p50")}, id="time not measured"),
        pytest.param(champion(latency_ratio=1.26), {("latency", "ratio")}, id="slower than the champion"),
        pytest.param(champion(latency_ratio=NAN), {("latency", "ratio")}, id="ratio is NaN"),
        pytest.param({"size_mib": 51.0}, {("size", "mib")}, id="over the size budget"),
        pytest.param({"size_mib": NAN}, {("size", "mib")}, id="size is NaN"),
    ],
)
def test_a_broken_rule_refuses_and_no_other_rule_complains(change, broken):
    decision = judge(**change)

    assert not decision.promote
    assert failed(decision) == broken
    assert len(decision.reasons) == len(broken)


def test_a_licence_that_forbids_commercial_use_passes_and_says_so():
    decision = judge(**lineage(licence="CC BY-NC-SA 4.0", non_commercial="true"))

    assert decision.promote
    assert "CC BY-NC-SA 4.0, not for commercial use" in decision.to_table()


def test_no_figure_at_all_is_refused_even_without_floors():
    config = CONFIG.model_copy(update={"floors": {}, "max_regression": {}, "max_promised_false_alarm_rate": None})

    assert failed(judge(config, figures={}, stated={})) == {("same_figures", "figures")}


@pytest.mark.parametrize(
    ("change", "config"),
    [
        pytest.param(figures(image_auroc=0.85), {}, id="floor"),
        pytest.param(figures(image_auroc=0.8), {"floors": {"image_auroc": Floor(mean=0.8, worst=0.8)}}, id="worst"),
        pytest.param(champion(lower_bounds={"image_auroc": -0.02}), {}, id="margin"),
        pytest.param({"latency_ms": 100.0}, {}, id="time"),
        pytest.param(champion(latency_ratio=1.25), {}, id="ratio"),
        pytest.param({"size_mib": 50.0}, {}, id="size"),
        pytest.param(
            {"figures": {"image_auroc": 0.875}, "stated": {"image_auroc": 0.875 + 2**-10}},
            {"max_disagreement": 2**-10, "floors": {}, "max_promised_false_alarm_rate": None},
            id="figures",
        ),
    ],
)
def test_a_tie_passes(change, config):
    assert judge(CONFIG.model_copy(update=config), **change).promote


@pytest.mark.parametrize(
    ("setting", "change"),
    [
        ({"allow_warnings": True}, {"violations": {"failed": 0, "warned": 5}}),
        ({"require_clean_tree": False}, lineage(**{"git.dirty": "true"})),
        ({"latency_ms": None}, {"latency_ms": 1e9}),
        ({"floors": {"image_auroc": None}}, figures(image_auroc=0.1)),
        ({"max_promised_false_alarm_rate": None}, figures(promised_false_alarm_rate=0.5)),
        ({"max_promised_false_alarm_rate": 0.5}, figures(promised_false_alarm_rate=0.5)),
        ({"max_regression": {"image_auroc": None}}, champion(lower_bounds={"image_auroc": -1.0})),
    ],
)
def test_a_rule_that_is_switched_off_does_not_refuse(setting, change):
    assert not judge(**change).promote
    assert judge(CONFIG.model_copy(update=setting), **change).promote


def test_the_lower_bound_is_held_against_the_floor_where_that_is_asked_for():
    config = CONFIG.model_copy(update={"read_as": "lower_bound"})

    assert failed(judge(config)) == WORST  # 0.9, but 0.7 at its lower bound
    assert judge(config, **figures(image_auroc_low=0.86)).promote
    assert failed(judge(config, **figures(image_auroc_low=None))) == WORST


def test_the_worst_category_and_the_mean_are_judged_apart():
    configs = dict.fromkeys(("a", "b"), CONFIG)
    strong, weak = GOOD._replace(**figures(image_auroc=0.99)), GOOD._replace(**figures(image_auroc=0.75))
    middling = GOOD._replace(**figures(image_auroc=0.82))

    one_is_weak = decide(configs, {"a": strong, "b": weak})
    both_middling = decide(configs, {"a": middling, "b": middling})

    assert {(c.category, c.rule) for c in one_is_weak.checks if not c.passed} == {("b", "floor")}
    assert {(c.category, c.rule) for c in both_middling.checks if not c.passed} == {("mean", "mean_floor")}
    assert decide(configs, {"a": strong, "b": middling}).promote


def test_a_mean_over_a_missing_figure_is_missing():
    decision = decide(dict.fromkeys(("a", "b"), CONFIG), {"a": GOOD, "b": GOOD._replace(**figures(image_auroc=None))})

    assert {c.value for c in decision.checks if c.rule == "mean_floor" and c.subject == "image_auroc"} == {None}


@pytest.mark.parametrize(("configs", "evidence"), [({}, {}), ({"a": CONFIG}, {}), ({"a": CONFIG}, {"b": GOOD})])
def test_evidence_of_other_categories_than_asked_for_is_refused(configs, evidence):
    with pytest.raises(ValueError, match="expected evidence for each of"):
        decide(configs, evidence)


@pytest.mark.parametrize(
    "update",
    [
        {"latency_ratio": NAN},
        {"latency_ratio": "fast"},
        {"size_mib": -1.0},
        {"floors": {"image_auroc": {"mean": 1.5, "worst": 0.5}}},
        {"floors": {"image_auroc": {"mean": NAN, "worst": 0.5}}},
        {"floors": {"accuracy": {"mean": 0.5, "worst": 0.5}}},
        {"max_regression": {"image_auroc": -0.1}},
        {"max_regression": {"image_auroc": NAN}},
        {"max_promised_false_alarm_rate": 0},
        {"max_disagreement": "little"},
        {"read_as": "upper_bound"},
    ],
)
def test_thresholds_that_are_not_numbers_or_not_in_range_are_refused(update):
    with pytest.raises(ValidationError):
        GateConfig.model_validate(CONFIG.model_dump() | update)
