"""Real servers, real processes: a retraining through Prefect's API, and what happens to it when a server fails."""

import contextlib
import hashlib
import itertools
import json
import sys
import time

import pytest

pytestmark = [pytest.mark.infra, pytest.mark.slow]
MODEL = "models/plates/plate/model.safetensors"
SEEDS = itertools.count(1)
RETRY_WAIT_S = [5, 10, 20, 40]
OUTAGE_S = 60


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def trained(composition):
    """A first retraining, asked for through the API; until one finds no change, a second schedule is on.

    Returns:
        The runs that were planned weekly, and those that the second schedule made.
    """
    deployment = composition.deployment("retraining/plates")
    of_it = {"deployment_id": {"any_": [deployment]}}
    weekly = composition.flow_runs(state={"type": {"any_": ["SCHEDULED"]}}, **of_it)
    run = composition.trigger("retraining/plates", dataset="plates", publish=True)
    composition.wait_for(lambda: composition.flow_run(run)["state"]["type"] == "RUNNING", "a start")
    schedule = {"schedule": {"cron": "* * * * *", "timezone": "Etc/UTC"}, "active": True, "slug": "minutely"}
    path = f"/deployments/{deployment}/schedules"
    (made,) = composition.api.post(path, json=[schedule]).raise_for_status().json()

    def ended():
        kinds = {"type": {"any_": ["COMPLETED", "CANCELLED", "FAILED", "CRASHED"]}}
        return [one for one in composition.flow_runs(state=kinds, **of_it) if one["auto_scheduled"]]

    state = composition.end_of(run)
    assert state["name"] == "Completed", [state, composition.log_of(run), composition.logs()]
    composition.wait_for(lambda: any(one["state"]["type"] != "CANCELLED" for one in ended()), "a scheduled run")
    composition.api.delete(f"{path}/{made['id']}").raise_for_status()
    # Taken over, as docs/schedule.md says.
    composition.run("git", "merge", "-q", branch_of(composition))
    composition.run(sys.executable, "-m", "dvc", "checkout", "-q")
    return weekly, ended()


@contextlib.contextmanager
def lasting(seconds):
    """Wait at the end of the block until it has lasted so long."""
    end = time.monotonic() + seconds
    yield
    time.sleep(max(0, end - time.monotonic()))


def branch_of(composition):
    """That of the first retraining."""
    command = ("git", "branch", "--list", "--format=%(refname:short)", "--sort=committerdate", "retraining/*")
    return composition.run(*command, folder=composition.origin).stdout.split()[0]


def ends_whole_or_as_before(composition, run, name, before):
    """Wait for a run whose servers went away; if it failed, have another complete. Returns the run that completed."""
    state = composition.end_of(run)
    if state["type"] == "FAILED":
        assert state["message"]
        assert composition.champion() == before
        run = composition.trigger(name, dataset="plates")
        state = composition.end_of(run)
    assert state["name"] == "Completed", [state, composition.log_of(run), composition.logs()]
    assert composition.champion() != before
    return run


def test_what_a_retraining_made_is_found_by_other_machines(composition, trained, tmp_path):
    """By a clone of the branch that was published, with what `dvc pull` brings, and by MLflow."""
    other = tmp_path / "clone"
    composition.run("git", "clone", "-q", "--branch", branch_of(composition), str(composition.origin), str(other))
    composition.run(sys.executable, "-m", "dvc", "pull", "-q", folder=other)

    listed = composition.run(
        sys.executable,
        "-c",
        "import boto3, json; client = boto3.client('s3'); print(json.dumps({bucket: [item['Key'] for item in "
        "client.list_objects_v2(Bucket=bucket).get('Contents', [])] for bucket in ('dvc', 'mlflow')}))",
    )
    objects = json.loads(listed.stdout)
    composition.run(
        *(sys.executable, "-m", "mlflow", "artifacts", "download"),
        *("--artifact-uri", "models:/plates-plate/1", "--dst-path", str(tmp_path / "champion")),
    )

    assert (other / MODEL).is_file()
    assert any(key.startswith("plates/files/md5/") for key in objects["dvc"])
    assert any(key.startswith("artifacts/") for key in objects["mlflow"])
    stored = {digest(file) for file in (tmp_path / "champion").rglob("*.safetensors")}
    assert stored == {digest(other / MODEL)}
    explained = composition.run(sys.executable, "-m", "pipelines.cli", "explain", "--dataset", "plates", "champion")
    assert "PROMOTE: every rule holds" in explained.stdout


def test_a_schedule_starts_runs_of_which_none_overlaps_and_without_a_change_they_do_nothing(trained):
    weekly, minutely = trained
    states = [run["state"] for run in minutely]
    refused = [state["message"] for state in states if state["type"] == "CANCELLED"]
    ended = [(state["name"], state["message"]) for state in states if state["type"] != "CANCELLED"]

    assert len(weekly) == 3, "Prefect plans the next three"
    assert set(refused) == {"Deployment concurrency limit reached."}
    assert set(ended) == {("Unchanged", "nothing changed since the last retraining of plates-plate")}


def fails_without_mlflow(composition):
    """A retraining that begins while MLflow is not there says so; the champion stays."""
    before = composition.champion()
    composition.change(orchestration__retry_wait_s=[1])
    composition.local("down", "mlflow")

    failed = composition.end_of(composition.trigger("retraining/plates", dataset="plates"))

    composition.local("up", "mlflow")
    composition.change(orchestration__retry_wait_s=RETRY_WAIT_S)
    assert failed["type"] == "FAILED"
    assert "no MLflow server answers there" in failed["message"]
    assert composition.champion() == before


def test_after_a_power_cut_the_next_run_goes_on_though_servers_go_away_and_ends_in_the_same_bytes(composition, trained):
    """The worker dies in a training and leaves locks of DVC; in the next one Prefect is restarted, MLflow away."""
    before = composition.champion()
    composition.change(training__seed=next(SEEDS), training__steps=80, training__validate_every=5)
    lost = composition.trigger("training/plates", dataset="plates")
    composition.await_training()
    composition.kill("worker")
    assert "train@plates-plate" in (composition.root / ".dvc/tmp/rwlock").read_text()
    composition.local("up", "worker")

    # Nobody has said that the run is lost: it holds its deployment until 90 s have passed without a sign of life.
    again = composition.end_of(composition.trigger("training/plates", dataset="plates"))
    assert (again["type"], again["message"]) == ("CANCELLED", "Deployment concurrency limit reached.")
    fails_without_mlflow(composition)
    assert composition.end_of(lost)["type"] == "CRASHED"

    run = composition.trigger("training/plates", dataset="plates")
    composition.wait_for(lambda: composition.has_logged(run, "resuming at step"), "the training to go on")
    composition.local("down", "mlflow")
    with lasting(OUTAGE_S):
        composition.local("down", "prefect")
        composition.local("up", "prefect")
    composition.local("up", "mlflow")

    ends_whole_or_as_before(composition, run, "training/plates", before)
    made = digest(composition.root / MODEL)
    composition.run(sys.executable, "-m", "stages.train", "plates-plate")
    assert digest(composition.root / MODEL) == made
    composition.change(training__steps=6, training__validate_every=2)


def test_what_cannot_be_pushed_is_not_promoted_and_a_store_that_comes_back_is_waited_for(composition, trained):
    """First without credentials; then S3 refuses for a minute of pushing, and PostgreSQL is restarted meanwhile."""
    before = composition.champion()
    composition.change(training__seed=next(SEEDS))

    unset = ("-u", "AWS_ACCESS_KEY_ID", "-u", "AWS_SECRET_ACCESS_KEY", "AWS_SHARED_CREDENTIALS_FILE=/none")
    command = (sys.executable, "-m", "pipelines.launch.process", "retraining", '{"dataset": "plates"}')
    refused = composition.run("env", *unset, *command, check=False)

    assert refused.returncode == 1
    assert "Unable to locate credentials" in refused.stderr.splitlines()[-1]
    failed = composition.flow_runs(state={"type": {"any_": ["FAILED"]}})
    assert any("Unable to locate credentials" in run["state"]["message"] for run in failed)
    assert composition.champion() == before

    composition.local("down", "s3")
    run = composition.trigger("retraining/plates", dataset="plates")
    composition.wait_for(lambda: composition.has_logged(run, "Retry 1/"), "a push in vain")
    with lasting(OUTAGE_S):
        composition.local("down", "postgres")
        composition.local("up", "postgres")
    composition.local("up", "s3")

    run = ends_whole_or_as_before(composition, run, "retraining/plates", before)
    assert not composition.has_logged(run, "Running stage 'train@plates-plate'"), "it was trained already"


def test_a_store_that_refuses_the_password_says_so(composition, trained, tmp_path):
    if "(moto)" in composition.local("status").stdout:
        pytest.skip("moto takes every password; with Ceph (infra/packages.sh) this is tested")
    composition.run("git", "clone", "-q", "--branch", branch_of(composition), str(composition.origin), str(tmp_path))

    pull = ("env", "AWS_SECRET_ACCESS_KEY=wrong", sys.executable, "-m", "dvc", "pull")
    refused = composition.run(*pull, folder=tmp_path, check=False)

    assert refused.returncode != 0
    assert "Forbidden" in refused.stderr


def test_a_back_up_brings_back_what_was_lost(composition, trained, tmp_path):
    before = composition.champion()
    composition.run("infra/backup.sh", "save", str(tmp_path / "saved"))
    composition.local("down", "worker", "prefect", "mlflow")
    composition.run("psql", "-q", "-d", "postgres", "-c", "DROP DATABASE mlflow", "-c", "DROP DATABASE mlflow_auth")
    composition.run(
        sys.executable,
        "-c",
        "import boto3\nfor one in boto3.resource('s3').Bucket('mlflow').objects.all(): one.delete()",
    )

    composition.run("infra/backup.sh", "load", str(tmp_path / "saved"))
    composition.local("up")

    assert composition.champion() == before
    composition.run(
        *(sys.executable, "-m", "mlflow", "artifacts", "download"),
        *("--artifact-uri", "models:/plates-plate@champion", "--dst-path", str(tmp_path / "champion")),
    )
    assert list((tmp_path / "champion").rglob("*.safetensors"))
    assert composition.deployment("retraining/plates")
