"""The whole pipeline through real processes of DVC, as a user runs it."""

import hashlib
import json
import os
import shutil
import signal
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from toys.datasets import describe_dataset
from toys.params import set_values
from toys.plates import draw_plates

MODEL = "models/plates/plate/model.safetensors"
LOOK = "Running stage 'watch@plates-plate':"
"""What every run says: the source of the data is looked at."""
SETTINGS = "params/detectors/diffusionad.yaml"


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_two_fresh_checkouts_end_in_one_lock(trained, fresh):
    fresh.run("dvc", "repro")

    assert (fresh.root / "dvc.lock").read_bytes() == (trained.root / "dvc.lock").read_bytes()


def test_a_second_run_does_nothing(trained):
    output = trained.run("dvc", "repro").stdout

    assert [line for line in output.splitlines() if line.startswith("Running stage")] == [LOOK]


def test_new_photographs_are_seen(fresh, parts, tmp_path):
    source = Path(shutil.copytree(parts, tmp_path / "source"))
    fresh.change(datasets__plates=describe_dataset("plates", source))
    fresh.run("dvc", "repro", "download@plates-plate")
    before = json.loads((fresh.root / "reports/plates/plate/data.json").read_text())["images"]
    draw_plates(source / "plate" / "train" / "good", np.random.default_rng(7), 1)

    fresh.run("dvc", "repro", "download@plates-plate")

    assert json.loads((fresh.root / "reports/plates/plate/data.json").read_text())["images"] == before + 1


def test_a_size_that_no_network_takes_is_refused_before_anything_is_made(fresh):
    fresh.change(image__size=[30, 50])

    refused = fresh.run("dvc", "repro", check=False)

    assert (
        "for `categories.plates-plate`: `unet` halves an image down to 1/8; (30, 50) is not divisible" in refused.stderr
    )
    assert not (fresh.root / "data").exists()


def test_the_figures_are_shown_by_dvc(trained):
    metrics = json.loads((trained.root / "reports/plates/plate/metrics.json").read_text())

    shown = json.loads(trained.run("dvc", "metrics", "show", "--json").stdout)[""]["data"]

    assert metrics["test_normal"] == metrics["test_anomalous"] == metrics["test_masks"] == 6
    assert 0 <= metrics["image_auroc_low"] <= metrics["image_auroc"] <= metrics["image_auroc_high"] <= 1
    assert shown == {
        "reports/plates/plate/figures.json": {
            "data": {
                "image_auroc": round(metrics["image_auroc"], 4),
                "pixel_pro": round(metrics["pixel_pro"], 4),
                "recall": round(metrics["at_threshold_recall"], 4),
                "false_alarm_rate": round(metrics["at_threshold_false_alarm_rate"], 4),
            }
        }
    }


def test_the_figures_of_a_category_fit_a_terminal(trained):
    lines = trained.run("dvc", "metrics", "show").stdout.splitlines()

    assert len(lines) == 2
    assert max(map(len, lines)) <= 100


def test_the_figures_of_two_commits_are_compared_by_dvc(trained):
    trained.commit()
    trained.change(training__seed=7)
    trained.run("dvc", "repro")

    changes = json.loads(trained.run("dvc", "metrics", "diff", "--json").stdout)

    assert list(changes) == ["reports/plates/plate/figures.json"]
    assert "pixel_pro" in changes["reports/plates/plate/figures.json"]


def test_a_change_of_a_metric_evaluates_again_and_does_not_train_again(trained):
    trained.change(evaluation__figures__resamples=60)

    output = trained.run("dvc", "repro").stdout

    assert "Running stage 'evaluate@plates-plate'" in output
    assert "Running stage 'train@plates-plate'" not in output


def test_the_settings_of_a_detector_train_again_only_the_categories_that_name_it(trained):
    set_values(trained.root / "params/detectors/patchcore.yaml", candidates=5)
    code = trained.root / "diffusionad/detectors/patchcore/model.py"
    code.write_text(f"{code.read_text()}# a comment\n")
    assert json.loads(trained.run("dvc", "status", "--json").stdout) == {"watch@plates-plate": ["always changed"]}
    set_values(trained.root / SETTINGS, guidance__scale=0.7)

    changed = trained.run("dvc", "status", "--json").stdout

    assert [name for name, what in json.loads(changed).items() if "changed deps" in str(what)] == ["train@plates-plate"]


def test_a_killed_training_resumes_and_ends_in_the_same_bytes(synthesized):
    undisturbed, killed = synthesized(), synthesized()
    for checkout in (undisturbed, killed):
        checkout.change(training__steps=60, training__validate_every=5)
    undisturbed.run("dvc", "repro", "train@plates-plate")
    process = killed.start("python", "-m", "stages.train", "plates-plate")
    state = killed.root / ".local/training/plates/plate"
    until = time.monotonic() + 300
    while not list(state.glob("*.pt")) and time.monotonic() < until:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (killed.root / MODEL).exists(), "the training ended before it could be killed"

    resumed = killed.run("dvc", "repro", "train@plates-plate")

    assert "resuming at step" in resumed.stdout + resumed.stderr
    assert digest(killed.root / MODEL) == digest(undisturbed.root / MODEL)
    history = "reports/plates/plate/history.jsonl"
    assert (killed.root / history).read_bytes() == (undisturbed.root / history).read_bytes()
    assert not list(state.glob("*.pt"))


@pytest.mark.slow
def test_two_processes_train_as_one_does_and_go_on_after_they_were_killed(synthesized):
    one, two, killed = synthesized(), synthesized(), synthesized()
    for checkout in (one, two, killed):
        checkout.change(training__steps=30, training__validate_every=5)
    together = ("env", "TRAIN_PROCESSES=2", "infra/python", "-m", "stages.train", "plates-plate")
    one.run("infra/python", "-m", "stages.train", "plates-plate")
    two.run(*together)
    process = killed.start(*together)
    state = killed.root / ".local/training/plates/plate"
    until = time.monotonic() + 300
    while not list(state.glob("*.pt")) and time.monotonic() < until:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (killed.root / MODEL).exists(), "the training ended before it could be killed"

    resumed = killed.run(*together)

    assert "resuming at step" in resumed.stderr
    assert digest(killed.root / MODEL) == digest(two.root / MODEL)
    histories = [(copy.root / "reports/plates/plate/history.jsonl").read_text() for copy in (one, two, killed)]
    history = [[json.loads(line)["loss_total"] for line in text.splitlines()] for text in histories]
    assert len(history[0]) == 6
    assert history[1] == pytest.approx(history[0], rel=1e-2)
    assert history[2] == history[1]


@pytest.mark.parametrize(
    ("file", "key", "value", "line"),
    [
        ("params.yaml", "training__stepz", 5, "params.yaml: unknown key `training.stepz`; expected one of"),
        (
            "params.yaml",
            "training__steps",
            "many",
            "params.yaml: `training.steps`: Input should be a valid integer, got 'many'",
        ),
        (SETTINGS, "unet__norm_groups", 7, "norm_groups = 7 does not divide the 8 channels"),
        (SETTINGS, "unet__width", 7, f"{SETTINGS}: unknown key `unet.width`; expected one of"),
    ],
)
def test_a_wrong_setting_is_one_line_and_what_was_made_stays(trained, file, key, value, line):
    model = digest(trained.root / MODEL)
    set_values(trained.root / file, **{key: value})

    done = trained.run(sys.executable, "-m", "stages.train", "plates-plate", check=False)

    assert done.returncode != 0
    assert line in done.stderr
    assert "Traceback" not in done.stderr
    assert digest(trained.root / MODEL) == model


def test_a_category_that_does_not_exist_is_one_line_that_names_those_that_do(fresh):
    done = fresh.run(sys.executable, "-m", "stages.download", "elpv-mni", check=False)

    assert done.returncode != 0
    assert done.stderr.strip() == "error: params.yaml: no `elpv-mni` in `categories`; it holds plates-plate"
