"""What happens to one category over the years, through real processes of Prefect, DVC and MLflow."""

import json
import signal
import time

import httpx
import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from toys.plates import draw_plates

REFUSED = 3
STAGES = ("download", "foreground", "synthesize", "train", "evaluate", "benchmark")


def flow(checkout, name, *, check=True, **parameters):
    content = json.dumps({"dataset": "plates", "category": "plate"} | parameters)
    return checkout.run("python", "-m", "pipelines.launch.process", name, content, check=check)


def shown(api, name):
    """The last run of a flow: its state, the tasks it ran and the artifacts it shows."""
    ask = httpx.Client(base_url=f"{api}/", timeout=60)
    flows = {"flows": {"name": {"any_": [name]}}}
    run = ask.post("flow_runs/filter", json=flows | {"sort": "START_TIME_DESC", "limit": 1}).json()[0]
    tasks = ask.post("task_runs/filter", json={"flow_runs": {"id": {"any_": [run["id"]]}}}).json()
    artifacts = ask.post("artifacts/filter", json={"flow_runs": {"id": {"any_": [run["id"]]}}}).json()
    ask.close()
    return run["state"]["name"], {task["name"] for task in tasks}, {one["key"]: one for one in artifacts}


def locked_manifest(text):
    lock = YAML(typ="safe").load(text)
    outs = lock["stages"]["download@plates-plate"]["outs"]
    return next(out["md5"] for out in outs if out["path"].endswith("manifest.parquet"))


def wait_for(condition, process):
    """Come back when a condition holds, as long as a process runs."""
    while not condition():
        assert process.poll() is None, "it ended before it could be stopped"
        time.sleep(0.05)


def begin_twice(plates):
    """A retraining whose machine dies in its training, and one that is told to stop there."""
    plates.change(training__steps=2000, training__validate_every=5)
    plates.commit()
    first = plates.start("python", "-m", "pipelines.launch.process", "retraining", '{"dataset": "plates"}')
    saved = plates.root / ".local" / "training" / "plates" / "plate"
    wait_for(lambda: list(saved.glob("*.pt")), first)
    first.kill()
    first.wait()
    # Its stages go on: nobody was left to stop them.
    orphans = plates.pids("stages.train")
    assert orphans

    # The next one ends them and goes on where they were; here with a server of its own.
    api = plates.environment.pop("PREFECT_API_URL")
    log = plates.root.parent / "log"
    with log.open("w") as stream:
        second = plates.start("python", "-m", "pipelines.cli", "retrain", "--dataset", "plates", output=stream)
        wait_for(lambda: "resuming at step" in log.read_text(), second)
    assert not orphans & plates.pids("stages.train")
    assert plates.pids("stages.train")
    assert plates.pids("uvicorn")
    second.send_signal(signal.SIGTERM)
    second.wait(120)
    assert second.returncode == 128 + signal.SIGTERM
    assert plates.processes() == []
    plates.environment["PREFECT_API_URL"] = api
    plates.change(training__steps=6, training__validate_every=2)
    plates.commit()


@pytest.mark.infra
def test_a_category_is_begun_three_times_trained_left_alone_retrained_and_scored(plates, prefect_api):
    begin_twice(plates)

    # The third is a short one; after it there is nothing to do.
    done = plates.run("python", "-m", "pipelines.cli", "retrain", "--dataset", "plates", "--commit", check=False)
    assert done.returncode == REFUSED, done.stdout + done.stderr
    assert "retraining: plates-plate version 1: refused: " in done.stdout
    state, tasks, artifacts = shown(prefect_api, "retraining")
    assert state == "Refused"
    assert {f"{stage}@plates-plate" for stage in STAGES} <= tasks
    assert {"stages", "metrics", "decision", "plates-plate-run", "plates-plate-picture-0"} <= set(artifacts)
    outcomes = {row["stage"]: row["outcome"] for row in json.loads(artifacts["stages"]["data"])}
    assert [outcomes[f"{stage}@plates-plate"] for stage in STAGES[3:]] == ["ran"] * 3
    assert "REFUSE" in artifacts["decision"]["data"]
    assert "nothing changed since the last retraining" in flow(plates, "retraining").stdout
    state, tasks, artifacts = shown(prefect_api, "retraining")
    assert (state, artifacts) == ("Unchanged", {})

    # New photographs arrive.
    draw_plates(plates.root.parent / "parts" / "plate" / "train" / "good", np.random.default_rng(150), 4)
    done = flow(plates, "retraining", check=False, commit=True)
    assert done.returncode == REFUSED, done.stdout + done.stderr
    assert "changed: plates-plate: data" in done.stdout + done.stderr
    assert "plates-plate version 2" in done.stdout
    branches = plates.git("branch", "--list", "retraining/*", "--format=%(refname:short)").split()
    manifests = {locked_manifest(plates.git("show", f"{branch}:dvc.lock")) for branch in branches}
    assert len(manifests) == len(branches) == 2
    assert plates.git("status", "--porcelain") == ""
    assert not (plates.root / "dvc.lock").exists()
    assert not list((plates.root / ".local" / "worktrees").glob("plates*"))

    # In production, where the camera has become darker.
    assert "no champion yet" in flow(plates, "scoring", check=False, source="x").stderr
    plates.run("python", "-m", "pipelines.cli", "promote", "--dataset", "plates", "--override", "--why", "a test")
    plates.change(orchestration__drift__min_images=6, orchestration__drift__p_value=0.05)
    source = plates.root.parent / "line"
    draw_plates(source / "day", np.random.default_rng(30), 12, brightness=30)
    flow(plates, "scoring", source=str(source))
    flow(plates, "scoring", source=str(source))
    scores = pd.read_parquet(plates.root / ".local" / "scores" / "plates-plate")
    assert sorted(scores["path"]) == [f"day/{index:03}.png" for index in range(12)]
    folder = plates.root / ".local" / "scores" / "plates-plate" / "version=2"
    drift = json.loads((folder / "_drift.json").read_text())
    assert drift["drift"]["images"] == 12
    assert drift["drift"]["drifted"] == (shown(prefect_api, "scoring")[0] == "Drifted")


@pytest.mark.infra
def test_a_typo_in_a_late_section_stops_a_training_before_it_starts(plates):
    plates.change(evaluation__figures__resamples="many")

    done = flow(plates, "training", check=False)

    assert done.returncode == 1
    assert "error: params.yaml: `evaluation.figures.resamples`: Input should be a valid integer" in done.stderr
    assert not (plates.root / "data").exists()
    assert np.all([not (plates.root / name).exists() for name in ("models", "dvc.lock")])
