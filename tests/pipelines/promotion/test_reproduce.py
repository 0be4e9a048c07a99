"""From a version number to the same bytes: a repository whose stages take milliseconds."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.digests import file_digest, folder_digest
from pipelines.promotion.registry import get_version
from pipelines.promotion.reproduce import reproduce
from pipelines.tracking.lineage import CURRENT
from pipelines.tracking.store import connect, experiment
from pipelines.tracking.track import MODEL

pytestmark = pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")  # mlflow leaves SQLite open

STAGE = """\
import pathlib, sys
pathlib.Path(sys.argv[2]).mkdir(parents=True, exist_ok=True)
pathlib.Path(sys.argv[2], "out").write_text(pathlib.Path(sys.argv[1]).read_text() + pathlib.Path(__file__).name)
"""
PIPELINE = f"""\
stages:
  synthesize:
    foreach:
      toy-disc: {{}}
    do:
      cmd: {sys.executable} stage.py settings data/synthetic
      deps: [stage.py, settings]
      outs: [data/synthetic]
  train:
    foreach:
      toy-disc: {{}}
    do:
      cmd: {sys.executable} stage.py data/synthetic/out models/toy/disc
      deps: [stage.py, data/synthetic]
      outs: [models/toy/disc]
"""


def shell(*arguments):
    subprocess.run(arguments, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.fixture
def registered(template, tmp_path, monkeypatch, workshop):
    """A repository with one version; returns a client of its MLflow."""
    folder = tmp_path / "repository"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    shutil.copytree(template / ".local", ".local")
    for name, text in {"stage.py": STAGE, "dvc.yaml": PIPELINE, "settings": "3", ".gitignore": "/.local/\n"}.items():
        Path(name).write_text(text)
    shell("git", "init", "-q", "-b", "main")
    shell(sys.executable, "-m", "dvc", "init", "-q")
    workshop.commit("the version")
    # After the commit, as in a fresh clone: the lock is not in git.
    shell(sys.executable, "-m", "dvc", "repro", "-q")
    client = connect()
    client.create_registered_model("toy-disc")
    commit = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    tags = {
        "dataset": "toy",
        "category": "disc",
        "key": "toy-disc",
        "git.commit": commit,
        "git.dirty": "false",
        "dvc_status": CURRENT,
        "dvc_lock": file_digest(Path("dvc.lock")),
        MODEL: folder_digest(Path("models", "toy", "disc")),
    }
    run_id = client.create_run(experiment(client, "toy")).info.run_id
    client.log_artifact(run_id, "dvc.lock", "lineage")
    client.create_model_version("toy-disc", "file:///nowhere", run_id=run_id, tags=tags)
    return client


def test_a_version_is_made_again_from_its_commit_though_the_checkout_has_gone_on(registered, tmp_path, workshop):
    Path("settings").write_text("4")
    workshop.commit("later")

    made = reproduce(registered, "toy-disc", "1", tmp_path / "again", Path.cwd())

    assert made.is_same
    assert (tmp_path / "again" / "models" / "toy" / "disc" / "out").read_text() == "3stage.pystage.py"


def test_a_training_that_ends_otherwise_is_found_out(registered, tmp_path):
    registered.set_model_version_tag("toy-disc", "1", MODEL, "0" * 64)

    assert not reproduce(registered, "toy-disc", "1", tmp_path / "again", Path.cwd()).is_same


@pytest.mark.parametrize(
    ("tag", "value", "complaint"),
    [
        ("git.dirty", "true", "registered with uncommitted changes"),
        ("git.commit", "0" * 40, "failed"),
        ("dvc_status", "train@toy-disc", "before `dvc repro` had caught up"),
        ("dvc_lock", "0" * 64, "dvc.lock is missing, or not the one that was registered"),
    ],
)
def test_a_lineage_that_does_not_suffice_is_refused(registered, tmp_path, tag, value, complaint):
    registered.set_model_version_tag("toy-disc", "1", tag, value)

    with pytest.raises(ValueError, match=complaint):
        reproduce(registered, "toy-disc", "1", tmp_path / "again", Path.cwd())


def test_a_folder_that_is_not_empty_is_left_alone(registered, tmp_path):
    assert get_version(registered, "toy-disc", "1").tags["git.dirty"] == "false"
    (tmp_path / "again").mkdir()
    (tmp_path / "again" / "mine").touch()

    with pytest.raises(ValueError, match="not empty"):
        reproduce(registered, "toy-disc", "1", tmp_path / "again", Path.cwd())
