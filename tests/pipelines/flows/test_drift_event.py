"""From scores that drifted to a retraining: a real scoring, a real server, its event and its automation."""

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from PIL import Image
from ruamel.yaml import YAML

from toys.params import set_values

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")]
ROOT = Path(__file__).parents[3]
APPLY = """
from pipelines.flows.settings import read_orchestration
from pipelines.flows.schedules import deployments
for deployment in deployments(read_orchestration()):
    deployment.apply()
"""
WAIT_S = 120


@pytest.fixture
def production(repository, prefect_api, run, monkeypatch, entry):
    """A repository with a champion and its deployments, whose flows work for the server of the tests."""
    settings = YAML(typ="safe").load(ROOT / "params.yaml")
    set_values(Path("params.yaml"), orchestration=settings["orchestration"], download=settings["download"])
    # There is only a handful of images: any distance but a small one counts.
    set_values(
        Path("params.yaml"),
        orchestration__schedules={},
        orchestration__drift={"window": 100, "min_images": 6, "distance": 0.3, "p_value": 0.9},
    )
    monkeypatch.setenv("PREFECT_API_URL", prefect_api)
    assert run("register", "--dataset", "toy")[0] == 0
    assert run("promote", "--dataset", "toy", "--override", "--why", "a test")[0] == 0
    subprocess.run([sys.executable, "-c", APPLY], check=True)
    return repository


def score(source, out):
    parameters = {"dataset": "toy", "category": "disc", "source": str(source), "out": str(out)}
    command = [sys.executable, "-m", "pipelines.launch.process", "scoring", json.dumps(parameters)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((out / "version=1" / "_drift.json").read_text())["drift"]


def test_scores_that_drift_start_a_retraining_and_others_do_not(production, prefect_api, entry, tmp_path):
    usual, dark = tmp_path / "usual", tmp_path / "dark"
    shutil.copytree(entry.paths.images / "test" / "good", usual)
    dark.mkdir()
    for index in range(12):
        Image.new("RGB", (24, 20), (index, 0, 0)).save(dark / f"{index}.png")

    same, other = score(usual, tmp_path / "a"), score(dark, tmp_path / "b")

    def retrainings():
        names = {"flows": {"name": {"any_": ["retraining"]}}, "deployments": {"name": {"any_": ["toy"]}}}
        return httpx.post(f"{prefect_api}/flow_runs/filter", json=names).raise_for_status().json()

    end = time.monotonic() + WAIT_S
    while not retrainings() and time.monotonic() < end:
        time.sleep(0.2)
    assert (same["images"], same["drifted"]) == (6, False)
    assert (other["images"], other["drifted"]) == (12, True)
    (started,) = retrainings()
    assert started["parameters"] == {"dataset": "toy"}
    assert started["created_by"]["type"] == "AUTOMATION"
