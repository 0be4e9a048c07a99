"""A repository in a temporary folder, whose category `toy/disc` has been through all stages; with its own MLflow."""

import contextlib
import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image, ImageDraw
from ruamel.yaml import YAML

from diffusionad.data.manifest import manifest_digest, write_manifest
from pipelines.catalogue import find_categories
from pipelines.digests import file_digest
from pipelines.tracking import store
from stages.evaluate.stage import EvaluationConfig, evaluate
from stages.files import write_json
from stages.params import detector_file
from stages.paths import CategoryPaths
from toys.detectors import TINY, build_detector
from toys.once import make_once
from toys.web import Web

with warnings.catch_warnings():
    # mlflow warns of its own type hints while it is imported; a mark on a test would come too late.
    warnings.simplefilter("ignore")
    import mlflow.pyfunc  # noqa: F401

ROOT = Path(__file__).parents[2]
PATHS = CategoryPaths("toy", "disc")
SIZE = (16, 16)
PIPELINE = {
    "train": {"cmd": "true", "outs": [str(PATHS.model)]},
    "evaluate": {"cmd": "true", "deps": [str(PATHS.model)], "metrics": [str(PATHS.metrics)]},
}
TIMES = {
    "machine": {"processor": "some", "cpu_capability": "AVX2", "cores": 2, "load_1min": 0.5, "torch": "2.13.0"},
    "calibration": [],
    "memory": {},
    "predict": {
        "norm_guided": {
            "torch-fp32": {
                "batch_1_threads_2": {
                    "ms_p50": 3.5,
                    "ms_p95": 4.0,
                    "ms_p99": 4.0,
                    "ms_min": 3.0,
                    "spread": 0.1,
                    "images_per_s": 285.71,
                    "threads": 2,
                    "batch": 1,
                    "share_of_peak": 0.01,
                }
            }
        }
    },
}
LICENCE = {"licence": "CC0", "licence_url": "https://example.org", "non_commercial": "false"}
EVALUATION = {
    "figures": {"fpr_limit": 0.3, "resamples": 20, "seed": 0},
    "curve_points": 5,
    "histogram_bins": 4,
    "pictures": 1,
}


def write_model(folder, seed, manifest="", category="disc", settings=TINY):
    """Write a detector with random weights."""
    facts = {"dataset": "toy", "category": category, "manifest": manifest or manifest_digest(PATHS.manifest)}
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    build_detector(SIZE, settings, weights_seed=seed, spread=5.0, **facts).save(folder)


def evaluate_again():
    """Evaluate a new model and commit the result to DVC, the same as `dvc repro` would."""
    evaluate(EvaluationConfig.model_validate_json(json.dumps(EVALUATION)), paths=PATHS)
    run_dvc("commit", "--force")


def run_dvc(*arguments):
    subprocess.run([sys.executable, "-m", "dvc", *arguments, "--quiet"], check=True)


def commit(message="a change"):
    identity = ["-c", "user.name=a test", "-c", "user.email=test@example.org"]
    subprocess.run(["git", "add", "-A"], check=True)
    subprocess.run(["git", *identity, "commit", "-qm", message], check=True)


def _draw(path, rng, mask):
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.fromarray(rng.integers(90, 130, (20, 24, 3)).astype(np.uint8))
    if mask is not None:
        mask.parent.mkdir(parents=True, exist_ok=True)
        truth = Image.new("L", picture.size)
        for canvas, colour in ((picture, (255, 0, 0)), (truth, 255)):
            ImageDraw.Draw(canvas).ellipse((4, 4, 12, 12), fill=colour)
        truth.save(mask)
    picture.save(path)


def _write_data(rng):
    rows = []
    for split, label, count in (("train", 0, 4), ("val", 0, 2), ("test", 0, 6), ("test", 1, 6)):
        for i in range(count):
            name = f"{split}/{'bad' if label else 'good'}/{i}.png"
            mask = f"masks/{i}.png" if label else None
            _draw(PATHS.images / name, rng, PATHS.images / mask if mask else None)
            facts = {"path": name, "split": split, "label": label, "defect": "disc" if label else "good", "mask": mask}
            rows.append(facts | {"sha256": file_digest(PATHS.images / name), "group": name})
    frame = pd.DataFrame(rows).assign(
        category="disc", dataset="toy", width=24, height=20, mode="RGB", brightness=0.4, fingerprint="0" * 64
    )
    write_manifest(frame, PATHS.manifest, LICENCE)
    write_json(PATHS.validation, {"name": "toy/disc", "accepted": True, "failed": 0, "warned": 1, "findings": []})
    write_json(PATHS.foreground_summary, {"method": "full", "flagged": 0})
    PATHS.validation_page.write_text("<html>kept</html>")


@pytest.fixture(scope="session")
def template(tmp_path_factory):
    """Made once; tests work on copies."""
    return make_once(tmp_path_factory, "template", _make_template)


def _make_template(folder):
    folder.mkdir()
    promotion = YAML(typ="safe").load(ROOT / "params.yaml")["promotion"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("DVC_NO_ANALYTICS", "1")
        _write_data(np.random.default_rng(0))
        category = {"dataset": PATHS.dataset, "category": PATHS.category, "detector": TINY["kind"]}
        content = {"categories": {"toy-disc": category}, "image": {"size": list(SIZE)}, "promotion": promotion}
        YAML().dump(content, Path("params.yaml"))
        settings = detector_file(TINY["kind"])
        settings.parent.mkdir(parents=True)
        YAML().dump({name: value for name, value in TINY.items() if name != "kind"}, settings)
        stages = {name: {"foreach": {"toy-disc": {}}, "do": stage} for name, stage in PIPELINE.items()}
        YAML().dump({"stages": stages}, Path("dvc.yaml"))
        Path(".gitignore").write_text("/.local/\n/data/\n/models/\n/reports/\n")
        PATHS.history.write_text('{"step": 2, "loss_total": 2.0}\n{"step": 4, "loss_total": 1.0}\n')
        write_json(PATHS.latency, TIMES)
        subprocess.run(["git", "init", "-q", "-b", "main"], check=True)
        run_dvc("init")
        commit("the beginning")
        write_model(PATHS.model, seed=0)
        evaluate_again()
        store.connect()


@pytest.fixture
def workshop():
    """What changes a repository: write_model(folder, seed), evaluate_again(), commit()."""
    return SimpleNamespace(write_model=write_model, evaluate_again=evaluate_again, commit=commit)


@pytest.fixture
def repository(template, tmp_path, monkeypatch):
    """A copy of the template, as the current folder."""
    folder = tmp_path / "repository"
    shutil.copytree(template, folder)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    return folder


@pytest.fixture
def client(repository):
    """A client of the embedded MLflow in `repository`."""
    return store.connect()


@pytest.fixture
def entry(repository):
    """The only category."""
    return find_categories("toy", "disc")[0]


@pytest.fixture
def answering():
    """Starts a server that answers each path it is given with a text, others with 404; returns its address."""
    with contextlib.ExitStack() as stack:

        def start(texts):
            web = stack.enter_context(Web())
            web.files = {path.removeprefix("/"): text.encode() for path, text in texts.items()}
            return web.url

        yield start


@pytest.fixture
def run(capsys):
    """Runs a command; returns its status and what it wrote to stdout and stderr."""
    from pipelines import cli  # noqa: PLC0415  # it loads mlflow, whose warnings are silenced above

    def run(*arguments):
        with pytest.raises(SystemExit) as end:
            cli.main(arguments)
        output = capsys.readouterr()
        return end.value.code, output.out, output.err

    return run
