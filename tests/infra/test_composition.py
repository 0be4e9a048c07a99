"""Real servers, real processes: a retraining through Prefect's API, and what happens to it when a server fails."""

import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = [pytest.mark.infra, pytest.mark.slow]
MODEL = "models/plates/plate/model.safetensors"
SEEDS = itertools.count(1)
OUTAGE_S = 60
RETRY_WAIT_S = [5, 10, 20, 40]


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def trained(composition):
    """A first retraining, from the photographs to the champion, asked for through the API."""
    run = composition.trigger("retraining/plates", dataset="plates", publish=True)
    state = composition.end_of(run)
    assert state["name"] == "Completed", [state, composition.log_of(run), composition.logs()]
    return run


def clone(composition, branch, folder):
    """Another machine: a clone of the branch that was published, with what `dvc pull` brings from S3."""
    composition.run("git", "clone", "-q", "--branch", branch, str(composition.origin), str(folder))
    composition.run(sys.executable, "-m", "dvc", "pull", "-q", folder=folder)
    return folder


def branches(composition):
    command = ("git", "branch", "--list", "--format=%(refname:short)", "--sort=committerdate", "retraining/*")
    return composition.run(*command, folder=composition.origin).stdout.split()


def test_what_a_retraining_made_is_found_by_other_machines(composition, trained, tmp_path):
    other = clone(composition, branches(composition)[0], tmp_path / "clone")

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
    assert "promote" in composition.champion()


def test_a_schedule_starts_runs_and_without_a_change_they_do_nothing(composition, trained):
    deployment = composition.deployment("retraining/plates")
    weekly = composition.flow_runs(state={"type": {"any_": ["SCHEDULED"]}}, deployment_id={"any_": [deployment]})
    path = f"/deployments/{deployment}/schedules"
    schedule = {"schedule": {"cron": "* * * * *", "timezone": "Etc/UTC"}, "active": True, "slug": "minutely"}
    made = composition.api.post(path, json=[schedule]).raise_for_status().json()

    def ended():
        state = {"name": {"any_": ["Unchanged"]}}
        return [run for run in composition.flow_runs(state=state) if run["auto_scheduled"]]

    composition.wait_for(ended, "a scheduled run")
    composition.api.delete(f"{path}/{made[0]['id']}").raise_for_status()

    assert len(weekly) == 3, "Prefect plans the next three"
    assert "nothing changed since the last retraining of plates-plate" in ended()[0]["state"]["message"]


def test_a_worker_that_died_in_a_training_goes_on_and_ends_in_the_same_bytes(composition, trained, tmp_path):
    composition.change(training__seed=next(SEEDS), training__steps=60, training__validate_every=5)
    lost = composition.trigger("retraining/plates", dataset="plates")
    composition.wait_for(composition.in_training, "a training")
    composition.kill("worker")
    composition.local("up", "worker")

    # Its machine is gone without a word: it holds its deployment until its lease ends.
    def resumed():
        run = composition.trigger("retraining/plates", dataset="plates", publish=True)
        return composition.end_of(run)["type"] != "CANCELLED" and run

    run = next(run for run in iter(resumed, None) if run)

    assert composition.flow_run(run)["state"]["name"] == "Completed", composition.log_of(run)
    assert any("resuming at step" in line for line in composition.log_of(run))
    other = clone(composition, branches(composition)[-1], tmp_path / "clone")
    made = digest(other / MODEL)
    composition.run(sys.executable, "-m", "stages.train", "plates-plate", folder=other)
    assert digest(other / MODEL) == made
    assert composition.end_of(lost)["type"] == "CRASHED"
    composition.change(training__steps=6, training__validate_every=2)


@pytest.mark.parametrize("server", ["prefect", "postgres", "s3", "mlflow"])
def test_a_server_that_is_gone_for_a_while_loses_no_run_and_promotes_nothing_by_half(composition, trained, server):
    """Prefect and PostgreSQL are restarted, S3 and MLflow are gone for a minute."""
    before = composition.champion()
    composition.change(training__seed=next(SEEDS))
    run = composition.trigger("retraining/plates", dataset="plates")
    composition.wait_for(composition.in_training, "a training")
    composition.local("down", server)
    if server in ("s3", "mlflow"):
        back = time.monotonic() + OUTAGE_S
        # Meanwhile somebody asks for another run of the same.
        second = composition.end_of(composition.trigger("retraining/plates", dataset="plates"))
        assert (second["type"], second["message"]) == ("CANCELLED", "Deployment concurrency limit reached.")
        time.sleep(max(0, back - time.monotonic()))
    if server == "s3":
        composition.wait_for(lambda: any("Retry 1/" in line for line in composition.log_of(run)), "a push in vain")
    composition.local("up", server)

    state = composition.end_of(run)
    after = composition.champion()

    if state["type"] == "COMPLETED":
        assert after != before
    else:
        assert state["type"] == "FAILED", state
        assert state["message"]
        assert after == before
        again = composition.end_of(composition.trigger("retraining/plates", dataset="plates"))
        assert again["name"] == "Completed", again
        assert composition.champion() != before


def test_without_mlflow_a_retraining_fails_by_its_name(composition, trained):
    before = composition.champion()
    composition.change(training__seed=next(SEEDS), orchestration__retry_wait_s=[1])
    composition.local("down", "mlflow")

    failed = composition.end_of(composition.trigger("retraining/plates", dataset="plates"))

    composition.local("up", "mlflow")
    composition.change(orchestration__retry_wait_s=RETRY_WAIT_S)
    assert failed["type"] == "FAILED"
    assert "no MLflow server answers there" in failed["message"]
    assert composition.champion() == before


def test_without_credentials_of_s3_a_retraining_fails_and_promotes_nothing(composition, trained):
    before = composition.champion()
    composition.change(training__seed=next(SEEDS))

    unset = ("-u", "AWS_ACCESS_KEY_ID", "-u", "AWS_SECRET_ACCESS_KEY", "AWS_SHARED_CREDENTIALS_FILE=/none")
    command = (sys.executable, "-m", "pipelines.flow_process", "retraining", '{"dataset": "plates"}')
    refused = composition.run("env", *unset, *command, check=False)

    assert refused.returncode == 1
    assert "Unable to locate credentials" in refused.stderr.splitlines()[-1]
    failed = composition.flow_runs(state={"type": {"any_": ["FAILED"]}})
    assert any("Unable to locate credentials" in run["state"]["message"] for run in failed)
    assert composition.champion() == before


def test_what_a_dead_dvc_left_locked_holds_up_no_training(composition, trained):
    composition.change(training__seed=next(SEEDS), training__steps=60, training__validate_every=5)
    process = subprocess.Popen(
        [sys.executable, "-m", "dvc", "repro", "train@plates-plate"],
        cwd=composition.checkout,
        env=composition.environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    composition.wait_for(composition.in_training, "a training")
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert "train@plates-plate" in (composition.checkout / ".dvc/tmp/rwlock").read_text()

    state = composition.end_of(composition.trigger("training/plates", dataset="plates"))

    assert state["type"] == "COMPLETED", state
    composition.change(training__steps=6, training__validate_every=2)


def test_a_store_that_refuses_the_password_says_so(composition, trained, tmp_path):
    if "(moto)" in composition.local("status").stdout:
        pytest.skip("moto takes every password; with Ceph (infra/packages.sh) this is tested")
    composition.run("git", "clone", "-q", "--branch", branches(composition)[0], str(composition.origin), str(tmp_path))

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
