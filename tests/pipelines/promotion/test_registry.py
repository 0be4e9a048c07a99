"""The registry enforces the verdict; what it did can be undone, and altered artifacts are found out."""

import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.digests import folder_digest
from pipelines.promotion import registry
from pipelines.promotion.decision import Check, Decision
from pipelines.promotion.journal import aliases, read_events
from pipelines.promotion.registry import (
    NotGatedError,
    StaleChampionError,
    make_champion,
    record_decision,
    register,
    rollback,
)
from pipelines.tracking.store import experiment
from pipelines.tracking.track import ARTIFACT, MODEL

pytestmark = pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")  # mlflow leaves SQLite open

NAME = "toy-disc"
PASS = Decision((Check("floor", "image_auroc", 0.9, ">= 0.8", passed=True),))
FAIL = Decision((Check("floor", "image_auroc", 0.7, ">= 0.8", passed=False),))


def add_version(client, content, name=NAME):
    """A version with an artifact of one file: enough for all but scoring."""
    run = client.create_run(experiment(client, "toy"))
    folder = Path("artifact")
    folder.mkdir(exist_ok=True)
    (folder / "MLmodel").write_text(content)
    client.log_artifacts(run.info.run_id, str(folder), "model")
    client.log_metric(run.info.run_id, "image_auroc", 0.9)
    tags = {ARTIFACT: folder_digest(folder), MODEL: content}
    version = client.create_model_version(name, f"{run.info.artifact_uri}/model", run_id=run.info.run_id, tags=tags)
    return str(version.version)


@pytest.fixture
def versions(client):
    client.create_registered_model(NAME)
    return [add_version(client, f"content {i}") for i in range(1, 5)]


def promote_fairly(client, version, name=NAME):
    record_decision(client, name, version, registry.champion(client, name), PASS)
    return make_champion(client, name, version, "it is better")


def alter(client, version):
    uri = client.get_model_version(NAME, version).source
    Path(uri.removeprefix("file://"), "MLmodel").write_text("something else")


def remove(client, version):
    shutil.rmtree(client.get_model_version(NAME, version).source.removeprefix("file://"))


def test_a_passing_version_becomes_champion_and_the_last_one_previous(client, versions):
    for version in versions[:2]:
        promote_fairly(client, version)

    assert aliases(client, NAME) == {"champion": "2", "previous": "1"}
    events = read_events(client, NAME)
    assert [(e.number, e.kind, e.before, e.version, e.why) for e in events] == [
        (1, "promotion", None, "1", "it is better"),
        (2, "promotion", "1", "2", "it is better"),
    ]
    assert events[1].figures == {"image_auroc": 0.9}
    assert events[1].by


@pytest.mark.parametrize("decision", [None, FAIL, Decision(())])
def test_without_a_passing_decision_nothing_is_promoted(client, versions, decision):
    promote_fairly(client, "1")
    if decision is not None:
        record_decision(client, NAME, "2", "1", decision)

    with pytest.raises(NotGatedError, match="no passing decision"):
        make_champion(client, NAME, "2", "I want it")

    assert aliases(client, NAME) == {"champion": "1"}


def test_a_decision_against_another_champion_does_not_count(client, versions):
    record_decision(client, NAME, "2", None, PASS)
    promote_fairly(client, "1")

    with pytest.raises(StaleChampionError, match="judged against champion none, but it is 1 now"):
        make_champion(client, NAME, "2", "it is better")

    assert aliases(client, NAME) == {"champion": "1"}


def test_promoting_the_champion_again_does_nothing(client, versions):
    promote_fairly(client, "1")

    assert make_champion(client, NAME, "1", "again") is None
    assert len(read_events(client, NAME)) == 1


def test_an_override_needs_a_reason_and_is_written_down_as_one(client, versions):
    with pytest.raises(ValueError, match="needs a reason"):
        make_champion(client, NAME, "1", "  ", override=True)

    event = make_champion(client, NAME, "1", "the line stands still", override=True)

    assert (event.kind, event.why) == ("override", "the line stands still")
    assert aliases(client, NAME) == {"champion": "1"}


def test_a_second_rollback_goes_further_back_and_a_third_has_nowhere_to_go(client, versions):
    for version in ("1", "3", "4"):
        promote_fairly(client, version)

    assert rollback(client, NAME, None, "").version == "3"
    assert rollback(client, NAME, None, "").version == "1"
    with pytest.raises(ValueError, match="nothing to roll back to"):
        rollback(client, NAME, None, "")
    assert aliases(client, NAME) == {"champion": "1"}


def test_what_was_rolled_back_needs_a_new_decision(client, versions):
    for version in ("1", "2"):
        promote_fairly(client, version)
    rollback(client, NAME, None, "it missed cracks")

    with pytest.raises(NotGatedError, match="rolled_back"):
        make_champion(client, NAME, "2", "again")
    assert promote_fairly(client, "2").version == "2"


def test_only_a_former_champion_is_rolled_back_to_unless_forced_with_a_reason(client, versions):
    for version in ("1", "2"):
        promote_fairly(client, version)

    with pytest.raises(ValueError, match="version 3 was never champion"):
        rollback(client, NAME, "3", "I like it")
    with pytest.raises(ValueError, match="needs a reason"):
        rollback(client, NAME, "3", "", force=True)
    assert aliases(client, NAME) == {"champion": "2", "previous": "1"}

    assert rollback(client, NAME, "3", "I like it", force=True).why == "I like it"
    assert aliases(client, NAME) == {"champion": "3", "previous": "2"}


@pytest.mark.parametrize(("target", "complaint"), [("2", "champion already"), ("9", "no version or alias `9`")])
def test_a_rollback_to_nothing_or_to_itself_is_refused(client, versions, target, complaint):
    for version in ("1", "2"):
        promote_fairly(client, version)

    with pytest.raises(ValueError, match=complaint):
        rollback(client, NAME, target, "")


@pytest.mark.parametrize(
    ("harm", "complaint"), [(alter, "altered after it was registered"), (remove, "cannot be fetched")]
)
def test_an_artifact_that_was_altered_or_lost_moves_no_alias(client, versions, harm, complaint):
    for version in ("1", "2"):
        promote_fairly(client, version)
    record_decision(client, NAME, "3", "2", PASS)
    before = aliases(client, NAME), read_events(client, NAME)
    harm(client, "3")
    harm(client, "1")

    with pytest.raises(ValueError, match=f"version 3: .*{complaint}"):
        make_champion(client, NAME, "3", "it is better")
    with pytest.raises(ValueError, match=f"version 1: .*{complaint}"):
        rollback(client, NAME, None, "")

    assert (aliases(client, NAME), read_events(client, NAME)) == before


@pytest.mark.parametrize("version", ["9", "no-such-alias"])
def test_an_unknown_version_or_alias_is_refused_with_those_there_are(client, versions, version):
    with pytest.raises(ValueError, match=rf"no version or alias `{version}`; versions: 1, 2, 3, 4"):
        registry.get_version(client, NAME, version)


def test_a_result_is_registered_once_and_a_new_one_again(client, entry, workshop):
    assert register(client, entry) == ("1", True)
    assert register(client, entry) == ("1", False)

    workshop.write_model(entry.paths.model, seed=1)
    assert register(client, entry) == ("2", True)
    tags = client.get_model_version(NAME, "2").tags
    assert tags["git.dirty"] == "false"
    assert tags["category"] == "disc"
    assert tags["non_commercial"] == client.get_registered_model(NAME).tags["non_commercial"] == "false"


def test_a_result_of_a_dirty_tree_is_registered_again_once_it_is_committed(client, entry, workshop):
    Path("notes").write_text("not committed")
    assert register(client, entry) == ("1", True)
    assert register(client, entry) == ("1", False)

    workshop.commit()

    assert register(client, entry) == ("2", True)
    assert client.get_model_version(NAME, "2").tags["git.dirty"] == "false"
    assert register(client, entry) == ("2", False)


RACE = """
import sys, time
from pathlib import Path
from pipelines.promotion import registry
from pipelines.tracking import store
client = store.connect()
Path(f"ready-{sys.argv[1]}").touch()
while not Path("go").exists(): time.sleep(0.01)
try:
    registry.make_champion(client, "toy-disc", sys.argv[1], "it is better")
except registry.StaleChampionError:
    sys.exit(3)
"""


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(client, versions):
    promote_fairly(client, "1")
    for version in ("2", "3"):
        record_decision(client, NAME, version, "1", PASS)

    racers = {v: subprocess.Popen([sys.executable, "-c", RACE, v]) for v in ("2", "3")}
    while not all(Path(f"ready-{v}").exists() for v in racers) and not any(r.poll() for r in racers.values()):
        time.sleep(0.01)
    Path("go").touch()
    status = {version: racer.wait(300) for version, racer in racers.items()}

    assert sorted(status.values()) == [0, 3]
    (winner,) = (version for version, code in status.items() if code == 0)
    assert aliases(client, NAME) == {"champion": winner, "previous": "1"}
    assert [event.version for event in read_events(client, NAME)] == ["1", winner]


KILLED = """
import os, signal, sys
from mlflow import MlflowClient
from pipelines.promotion import registry
from pipelines.tracking import store

class Dying(MlflowClient):
    lives = 0
    def __getattribute__(self, name):
        if name.startswith(("set_", "delete_")):
            if not Dying.lives:
                os.kill(os.getpid(), signal.SIGKILL)
            Dying.lives -= 1
        return super().__getattribute__(name)

for lives in range(int(sys.argv[1])):
    child = os.fork()
    if not child:
        Dying.lives = lives
        registry.make_champion(Dying(store.connect().tracking_uri), f"model-{lives}", "2", "it is better")
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
STEPS = 5
"""Changes of the registry that a promotion is made of."""


def test_a_promotion_killed_before_any_of_its_steps_is_whole_after_the_next_command(client):
    """Real processes, killed by SIGKILL, so that their locks are truly left behind."""
    names = [f"model-{lives}" for lives in range(STEPS + 1)]
    for name in names:
        client.create_registered_model(name)
        for version in ("1", "2"):
            assert add_version(client, f"content {version}", name) == version
        promote_fairly(client, "1", name)
        record_decision(client, name, "2", "1", PASS)

    run = subprocess.run([sys.executable, "-c", KILLED, str(STEPS + 1)], stdout=subprocess.PIPE, text=True, check=True)

    assert run.stdout.split() == [*["-9"] * STEPS, "0"]
    assert aliases(client, names[0]) == {"champion": "1"}
    for name in names:
        make_champion(client, name, "2", "it is better")
        assert aliases(client, name) == {"champion": "2", "previous": "1"}
        assert [event.version for event in read_events(client, name)] == ["1", "2"]


def test_a_registered_model_takes_no_version_of_another_category(client, entry):
    client.create_registered_model(entry.model_name, tags={"dataset": "toy-di", "category": "sc"})

    with pytest.raises(ValueError, match=r"toy-disc: .* is that of toy-di/sc, not of toy/disc; rename"):
        register(client, entry)
    assert registry.versions(client, entry.model_name) == []
