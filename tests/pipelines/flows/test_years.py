"""What happens to one category over the years, through real processes of Prefect, DVC and MLflow."""

import json
import signal
import time
from pathlib import Path

import httpx
import numpy as np
import pandas as pd
import psutil
import pytest
from ruamel.yaml import YAML

REFUSED = 3
STAGES = ("download", "foreground", "synthesize", "train", "evaluate", "benchmark")


def flow(checkout, name, *, check=True, **parameters):
    content = json.dumps({"dataset": "plates", "category": "plate"} | parameters)
    return checkout.run("pipelines.flow_process", name, content, check=check)


def shown(api, name):
    """The last run of a flow: its state, the tasks it ran and the artifacts it shows."""
    ask = httpx.Client(base_url=f"{api}/", timeout=60)
    flows = {"flows": {"name": {"any_": [name]}}}
    run = ask.post("flow_runs/filter", json=flows | {"sort": "START_TIME_DESC", "limit": 1}).json()[0]
    tasks = ask.post("task_runs/filter", json={"flow_runs": {"id": {"any_": [run["id"]]}}}).json()
    artifacts = ask.post("artifacts/filter", json={"flow_runs": {"id": {"any_": [run["id"]]}}}).json()
    ask.close()
    return run["state"]["name"], {task["name"] for task in tasks}, {one["key"]: one for one in artifacts}


def locked_manifest(checkout, text):
    lock = YAML(typ="safe").load(text)
    outs = lock["stages"]["download@plates-plate"]["outs"]
    return next(out["md5"] for out in outs if out["path"].endswith("manifest.parquet"))


@pytest.mark.infra
def test_a_category_is_trained_left_alone_retrained_and_scored(plates, prefect_api):
    # On demand.
    done = plates.run("pipelines.cli", "run", "--dataset", "plates", "--category", "plate", check=False)
    assert done.returncode == REFUSED, done.stdout + done.stderr
    assert "training: plates-plate version 1: refused: " in done.stdout
    state, tasks, artifacts = shown(prefect_api, "training")
    assert state == "Refused"
    assert {f"{stage}@plates-plate" for stage in STAGES} <= tasks
    assert {"stages", "metrics", "decision", "plates-plate-run", "plates-plate-picture-0"} <= set(artifacts)
    assert {row["outcome"] for row in json.loads(artifacts["stages"]["data"])} == {"ran"}
    assert "REFUSE" in artifacts["decision"]["data"]

    # On schedule: the first time it makes sure, from the cache; then it knows.
    assert flow(plates, "retraining", check=False, commit=True).returncode == REFUSED
    outcomes = {
        row["stage"]: row["outcome"] for row in json.loads(shown(prefect_api, "retraining")[2]["stages"]["data"])
    }
    assert "ran" not in {
        outcomes[f"{stage}@plates-plate"] for stage in ("foreground", "synthesize", "train", "evaluate")
    }
    assert "nothing changed since the last retraining" in flow(plates, "retraining").stdout
    state, tasks, artifacts = shown(prefect_api, "retraining")
    assert (state, artifacts) == ("Unchanged", {})

    # New photographs arrive.
    before = (plates.root / "dvc.lock").read_text()
    plates.draw(4)
    done = flow(plates, "retraining", check=False, commit=True)
    assert done.returncode == REFUSED, done.stdout + done.stderr
    assert "changed: plates-plate: data" in done.stdout + done.stderr
    assert "plates-plate version 2" in done.stdout
    branches = plates.git("branch", "--list", "retraining/*", "--format=%(refname:short)").split()
    assert len(branches) == 2
    after = plates.git("show", f"{branches[-1]}:dvc.lock")
    assert locked_manifest(plates, after) != locked_manifest(plates, before)
    assert (plates.root / "dvc.lock").read_text() == before
    assert plates.git("status", "--porcelain", "--", ":(exclude)dvc.lock") == ""
    assert not list((plates.root / ".local" / "worktrees").glob("plates*"))

    # In production, where the camera has become darker.
    assert "no champion yet" in flow(plates, "scoring", check=False, source="x").stderr
    plates.run("pipelines.cli", "promote", "--dataset", "plates", "--override", "--why", "a test")
    plates.change(orchestration__drift__min_images=6, orchestration__drift__p_value=0.05)
    source = plates.root.parent / "line"
    plates.draw(12, source / "day", brightness=30)
    flow(plates, "scoring", source=str(source))
    flow(plates, "scoring", source=str(source))
    scores = pd.read_parquet(plates.root / ".local" / "scores" / "plates-plate")
    assert sorted(scores["path"]) == [f"day/{index:03}.png" for index in range(12)]
    folder = plates.root / ".local" / "scores" / "plates-plate" / "version=2"
    drift = json.loads((folder / "_drift.json").read_text())
    assert drift["drift"]["images"] == 12
    assert drift["drift"]["drifted"] == (shown(prefect_api, "scoring")[0] == "Drifted")


def start_until_training(checkout, *command):
    """Start a flow, and come back when its training has saved a state."""
    checkout.change(training__steps=300, training__validate_every=5)
    checkout.commit()
    process = checkout.start(*command)
    saved = checkout.root / ".local" / "training" / "plates" / "plate"
    while not list(saved.glob("*.pt")):
        assert process.poll() is None, "it ended before it could be stopped"
        time.sleep(0.05)
    return process


@pytest.mark.infra
def test_a_cancelled_flow_leaves_no_process_not_even_its_own_server(plates):
    """The server is the flow's own here, as for a user who has started none."""
    plates.environment.pop("PREFECT_API_URL")
    process = start_until_training(plates, "pipelines.cli", "run", "--dataset", "plates")
    assert any("stages.train" in line for line in plates.processes())
    assert any("uvicorn" in line for line in plates.processes())

    process.send_signal(signal.SIGTERM)
    process.wait(120)

    assert process.returncode == 128 + signal.SIGTERM
    assert plates.processes() == []


@pytest.mark.infra
def test_a_retraining_whose_machine_died_goes_on_in_the_next_one(plates):
    parameters = json.dumps({"dataset": "plates", "category": "plate"})
    process = start_until_training(plates, "pipelines.flow_process", "retraining", parameters)
    process.kill()
    process.wait()
    # Its stages go on: nobody was left to stop them.
    orphans = [one for one in plates.processes() if "stages.train" in one]

    done = flow(plates, "retraining", check=False)

    assert orphans
    assert done.returncode == REFUSED, done.stdout + done.stderr
    assert "resuming at step" in done.stdout + done.stderr
    assert plates.processes() == []
    assert psutil.pid_exists(process.pid) is False
    assert Path(plates.root, ".local", "retraining", "plates-plate.json").is_file()


@pytest.mark.infra
def test_a_typo_in_a_late_section_stops_a_training_before_it_starts(plates):
    plates.change(evaluation__figures__resamples="many")

    done = flow(plates, "training", check=False)

    assert done.returncode == 1
    assert "error: params.yaml: `evaluation.figures.resamples`: Input should be a valid integer" in done.stderr
    assert not (plates.root / "data").exists()
    assert np.all([not (plates.root / name).exists() for name in ("models", "dvc.lock")])
