"""How flows deal with what goes wrong: in this process, on a real server and with real processes of DVC."""

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from filelock import FileLock
from mlflow import MlflowClient
from prefect import flow
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from prefect.settings import PREFECT_API_URL, temporary_settings

from pipelines.catalogue import find_categories
from pipelines.flows.report import report_comparison, tell
from pipelines.flows.retraining import retraining
from pipelines.flows.schedules import deployments
from pipelines.flows.settings import read_orchestration
from pipelines.flows.stage_tasks import StagesError, run_stages
from pipelines.flows.sweep import sweep
from pipelines.flows.training import training
from pipelines.repository.dvc import changed_stages
from pipelines.repository.dvc_index import stage_graph
from toys.datasets import describe_dataset
from toys.web import Web

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::DeprecationWarning")]

SLOW_TO_RECOVER = """
import pathlib, sys
tries = pathlib.Path(f"../tries-{sys.argv[1]}")
tries.write_text((tries.read_text() if tries.exists() else "") + "x")
if len(tries.read_text()) == 1:
    sys.stderr.write("error: https://example.org: REASON\\n")
    sys.exit(STATUS)
pathlib.Path("models").mkdir(exist_ok=True)
pathlib.Path("reports/toy/a").mkdir(parents=True, exist_ok=True)
pathlib.Path("models", sys.argv[1]).write_text("{}")
"""


@pytest.fixture
def here(quick, prefect_api, monkeypatch):
    """Makes a quick checkout the current folder, with flows on the server of the tests."""
    with temporary_settings({PREFECT_API_URL: prefect_api}):

        def make(*categories, **options):
            checkout = quick(*categories, **options)
            monkeypatch.chdir(checkout.root)
            for name in ("PYTHONPATH", "STAGE_PYTHON"):
                monkeypatch.setenv(name, checkout.environment[name])
            for name in ("MLFLOW_TRACKING_URI", "DATA_MIRROR"):
                monkeypatch.delenv(name, raising=False)
            return checkout

        yield make


@flow
def probe(targets):
    """The stages of a flow without its rest."""
    return run_stages(stage_graph(Path.cwd(), targets), changed_stages(*targets), (), None, read_orchestration())


def test_each_stage_runs_once_and_then_is_unchanged(here):
    here("a", "b")

    first, second = probe(["evaluate@toy-a", "evaluate@toy-b"]), probe(["evaluate@toy-a"])

    assert first.outcomes == dict.fromkeys(["train@toy-a", "evaluate@toy-a", "train@toy-b", "evaluate@toy-b"], "ran")
    assert second.outcomes == {"train@toy-a": "unchanged", "evaluate@toy-a": "unchanged"}


def test_locks_of_a_dvc_that_died_are_passed_over(here):
    here("a")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    Path(".dvc", "tmp").mkdir(exist_ok=True)
    Path(".dvc", "tmp", "lock").write_text(f"{dead.pid}\n")
    held = {"write": {str(Path("models", "toy-a").absolute()): {"pid": dead.pid, "cmd": "dvc repro"}}, "read": {}}
    Path(".dvc", "tmp", "rwlock").write_text(json.dumps(held))

    assert probe(["train@toy-a"]).outcomes == {"train@toy-a": "ran"}


@pytest.mark.parametrize(
    ("reason", "status", "attempts"),
    [("no answer (timed out)", os.EX_TEMPFAIL, 2), ("the server answered 404", 1, 1)],
)
def test_only_what_may_pass_is_tried_again(here, reason, status, attempts):
    here("a", stage=SLOW_TO_RECOVER.replace("REASON", reason).replace("STATUS", str(status)))

    if attempts == 1:
        with pytest.raises(StagesError, match=rf"train@toy-a: .*{reason}; not run after that: evaluate@toy-a"):
            probe(["evaluate@toy-a"])
    else:
        assert probe(["evaluate@toy-a"]).outcomes["train@toy-a"] == "ran"

    assert Path("..", "tries-toy-a").read_text() == "x" * attempts


def test_a_failure_stops_only_what_needs_it(here):
    stage = SLOW_TO_RECOVER.replace("REASON", "no such thing").replace("STATUS", "1")
    stage = stage.replace("== 1:", "== 1 and sys.argv[1] == 'toy-a':")
    here("a", "b", stage=stage)

    with pytest.raises(StagesError, match=r"\Atrain@toy-a: [^;]*no such thing; not run after that: evaluate@toy-a\Z"):
        probe(["evaluate@toy-a", "train@toy-b"])

    assert Path("models", "toy-b").is_file()


@pytest.mark.parametrize("run", [training, retraining, sweep])
def test_a_category_that_does_not_exist_is_one_line_that_names_those_that_do(here, run):
    here("a")

    state = run("toy", "z", return_state=True)

    assert state.is_failed()
    assert state.message == "params.yaml: no category toy/z; it holds toy/a"


def test_a_source_on_s3_without_credentials_is_one_line_and_moves_nothing(here, monkeypatch):
    checkout = here("a")
    checkout.change(datasets__toy=describe_dataset("toy", "s3://plates/toy"))
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(checkout.root / "none"))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    state = retraining("toy", return_state=True)

    assert state.is_failed()
    assert state.message == (
        "s3://plates/toy: no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    )
    assert not Path(".local", "worktrees").exists()


def test_a_retraining_that_overlaps_another_does_nothing_and_says_so(here):
    here("a")
    lock = Path(".local", "retraining", "toy-a.lock")
    lock.parent.mkdir(parents=True)

    with FileLock(lock):
        state = retraining("toy", return_state=True)

    assert state.is_failed()
    assert state.message == "toy-a: another retraining is under way; nothing was done"
    assert not Path(".local", "worktrees").exists()


@pytest.mark.parametrize(
    ("dataset", "schedule", "complaint"),
    [
        (
            "toy",
            {"cron": "61 * * * *", "timezone": "Etc/UTC"},
            r"orchestration\.schedules\.toy\.cron: .*61 \* \* \* \*",
        ),
        (
            "toy",
            {"cron": "0 3 * * 1", "timezone": "Mars/Base"},
            r"orchestration\.schedules\.toy\.timezone: .*Mars/Base",
        ),
        ("tiles", {"cron": "0 3 * * 1", "timezone": "Etc/UTC"}, r"orchestration\.schedules\.tiles: no category is of"),
    ],
)
def test_a_wrong_schedule_is_one_line_that_names_its_key(here, dataset, schedule, complaint):
    here("a").change(orchestration__schedules={dataset: schedule})

    with pytest.raises(ValueError, match=rf"\Aparams\.yaml: {complaint}[^\n]*\Z"):
        list(deployments(read_orchestration()))


def test_twelve_categories_by_two_seeds_on_two_workers_meet_no_lock(here):
    here(*"abcdefghijkl")

    state = sweep("toy", seeds=(0, 1), return_state=True)

    assert state.is_completed(), state.message
    assert state.message.startswith("24 of 24 combinations done: ")
    lines = next(Path(".local", "sweeps").glob("*.csv")).read_text().splitlines()
    assert lines[0] == "category,training.seed,image_auroc"
    assert sorted(lines[1:]) == sorted(f"toy-{name},{seed},{5 + seed}" for name in "abcdefghijkl" for seed in (0, 1))
    assert not list(Path(".local", "worktrees").glob("toy*"))
    assert subprocess.run(["git", "status", "--porcelain"], capture_output=True, check=True).stdout == b""


def test_a_sweep_works_by_dask_where_the_setting_says_so(here):
    pytest.importorskip("prefect_dask")
    checkout = here("a")
    checkout.change(orchestration__sweep__dask="local")

    done = checkout.run(
        "python", "-m", "pipelines.launch.process", "sweep", json.dumps({"dataset": "toy", "seeds": [3, 4]})
    )

    assert "2 of 2 combinations done: " in done.stdout
    lines = next(Path(".local", "sweeps").glob("*.csv")).read_text().splitlines()
    assert sorted(lines[1:]) == ["toy-a,3,8", "toy-a,4,9"]


def test_a_flow_run_links_the_page_of_candidate_and_champion(here, prefect_api, tmp_path):
    here("a")
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    run = client.create_run(client.create_experiment("toy")).info

    @flow
    def say():
        report_comparison(find_categories("toy", "a")[0], client, run.run_id, before="1", after="2")

    say()

    asked = {"artifacts": {"key": {"any_": ["toy-a-comparison"]}}}
    (link,) = httpx.post(f"{prefect_api}/artifacts/filter", json=asked, timeout=60).json()
    page = f"experiments/{run.experiment_id}/runs/{run.run_id}/artifacts/compare/1-2/index.html"
    assert link["data"] == f"[Version 2 against champion 1, once `make ui` runs](http://127.0.0.1:5000/#/{page})"


def test_a_message_goes_out_through_a_block_of_prefect(here):
    @flow
    def say(block):
        tell(block, "refused: toy-a", "1 of 9 rules does not hold")

    here("a")
    with Web() as web:
        message = {"title": "{{subject}}", "body": "{{body}}"}
        CustomWebhookNotificationBlock(name="team", url=f"{web.url}/hook", json_data=message).save(
            "team", overwrite=True
        )

        say("custom-webhook/team")
        say("custom-webhook/nobody")
        say(None)

    (got,) = web.posted
    assert json.loads(got) == {"title": "refused: toy-a", "body": "1 of 9 rules does not hold"}
