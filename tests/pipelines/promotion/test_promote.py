"""A whole promotion: registered artifacts are scored in a process of their own and judged, and the decision is kept."""

import json
from pathlib import Path

import pytest

from diffusionad.data.manifest import manifest_digest, read_manifest, read_metadata, write_manifest
from pipelines.promotion.gates import Floor
from pipelines.promotion.journal import VERDICT, aliases
from pipelines.promotion.promote import Verdict, promote
from pipelines.promotion.registry import register
from pipelines.promotion.settings import read_rules

pytestmark = pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")  # mlflow leaves SQLite open

NAME = "toy-disc"


@pytest.fixture
def rules(repository):
    """Rules that a model with random weights passes."""
    rules = read_rules()
    gate = rules.default.model_copy(
        update={
            "floors": {"image_auroc": Floor(mean=0.0, worst=0.0), "pixel_pro": Floor(mean=0.0, worst=0.0)},
            "max_regression": {"image_auroc": 1.0, "pixel_pro": 1.0},
            "latency_ratio": 1000.0,
        }
    )
    scoring = rules.scoring.model_copy(update={"resamples": 20, "race_rounds": 3, "race_warmup": 1})
    return rules.model_copy(update={"default": gate, "scoring": scoring, "overrides": {}})


def failed(verdict):
    return {(check.rule, check.subject) for check in verdict.decision.checks if not check.passed}


def test_the_first_model_the_same_again_and_a_better_one(client, entry, rules, workshop):
    register(client, entry)
    first = promote(client, [entry], rules, None)
    assert first.decision.reasons == ()
    assert aliases(client, NAME) == {"champion": "1"}

    assert promote(client, [entry], rules, None) == Verdict(None)

    workshop.write_model(entry.paths.model, seed=1)
    workshop.evaluate_again()
    register(client, entry)
    second = promote(client, [entry], rules, None)
    assert second.decision.reasons == ()
    rules_seen = {(check.rule, check.subject) for check in second.decision.checks}
    assert {("no_regression", "image_auroc"), ("no_regression", "pixel_pro"), ("latency", "ratio")} <= rules_seen
    assert aliases(client, NAME) == {"champion": "2", "previous": "1"}
    run_id = client.get_model_version(NAME, "2").run_id
    assert {Path(item.path).suffix for item in client.list_artifacts(run_id, "gate")} == {".md", ".json"}


def test_a_refusal_names_each_broken_rule_and_moves_nothing(client, entry, rules):
    """Figures that the run only claims, a contract without a report, a training set that today's test set is in."""
    figures = json.loads(entry.paths.metrics.read_text())
    entry.paths.metrics.write_text(json.dumps(figures | {"image_auroc": 0.99}))
    entry.paths.validation.unlink()
    register(client, entry)
    frame = read_manifest(entry.paths.manifest)
    train, test = frame.index[frame["split"] == "train"][0], frame.index[frame["split"] == "test"][0]
    frame.loc[train, "split"], frame.loc[test, "split"] = "test", "train"
    write_manifest(frame, entry.paths.manifest, read_metadata(entry.paths.manifest))
    gate = rules.default.model_copy(update={"size_mib": 1e-6, "allow_warnings": False})

    verdict = promote(client, [entry], rules.model_copy(update={"default": gate}), None)

    assert {
        ("same_figures", "image_auroc"),
        ("same_data", "manifest"),
        ("leak", "candidate"),
        ("contract", "failed"),
        ("contract", "warned"),
        ("size", "mib"),
    } <= failed(verdict)
    assert verdict.events == ()
    assert aliases(client, NAME) == {}
    assert client.get_model_version(NAME, "1").tags[VERDICT] == "refused"


def test_a_model_of_another_category_is_refused(client, entry, rules, workshop):
    workshop.write_model(entry.paths.model, seed=0, manifest=manifest_digest(entry.paths.manifest), category="ring")
    register(client, entry)

    with pytest.raises(ValueError, match="toy-disc: the artifact is a model of toy/ring, not of this category"):
        promote(client, [entry], rules, None)

    assert aliases(client, NAME) == {}


def test_without_a_version_there_is_nothing_to_judge(client, entry, rules):
    with pytest.raises(ValueError, match="run `diffusionad register` first"):
        promote(client, [entry], rules, None)
