"""Each image is scored once, whatever happens: real processes on a real model."""

import json
import subprocess
import sys
import time
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipelines.flows.score_worker import read_scores, score_source
from pipelines.serving.packaging import load_served, save_served
from stages.common.folders import LEFT_BEHIND

pytestmark = pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")  # mlflow leaves SQLite open


@pytest.fixture
def photographs(tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "photographs"
    (folder / "shift").mkdir(parents=True)
    for index in range(7):
        pixels = rng.integers(0, 255, (20, 24, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / "shift" / f"{index}.png")
    return folder


@contextmanager
def model_of(entry):
    with save_served(entry.paths) as folder:
        yield folder


def test_only_what_is_new_is_scored_again(entry, photographs, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    with model_of(entry) as folder:
        served = load_served(folder)
        first = score_source(served, str(photographs), out, batch=3, timeout_s=5)
        again = score_source(served, str(photographs), out, batch=3, timeout_s=5)
        Image.new("RGB", (30, 20), (200, 10, 10)).save(photographs / "shift" / "3.png")
        (photographs / "notes.txt").write_text("no image")
        later = score_source(served, str(photographs), out, batch=3, timeout_s=5)

    table = read_scores(out)
    assert (first, again, later) == (7, 0, 2)
    assert table["path"].value_counts()["shift/3.png"] == 2
    assert table.set_index("path").loc["notes.txt", "error"].startswith("notes.txt: ")
    assert table[table["error"].isna()]["score"].between(0, 1).all()
    assert len(pd.read_parquet(out)) == len(table) == 9


def test_what_predictions_and_scorings_wrote_below_the_source_is_passed_over(entry, photographs, tmp_path, capsys):
    """The results of the scoring itself, those of another one, and a table and pictures of `predict`."""
    predicted = photographs / "predicted"
    (predicted / "heat").mkdir(parents=True)
    (predicted / "heat" / "0.png.png").write_bytes((photographs / "shift" / "0.png").read_bytes())
    (predicted / "predictions.csv").write_text("path,score,label,threshold\n")
    with model_of(entry) as folder:
        served = load_served(folder)
        counts = []
        for out in (photographs / "a" / "version=3", photographs / "a" / "version=3", photographs / "b" / "version=3"):
            out.mkdir(parents=True, exist_ok=True)
            (out / "_drift.json").write_text("{}")
            (out.parent / ".lock").touch()
            counts.append(score_source(served, str(photographs), out, batch=3, timeout_s=5))

    assert counts == [7, 0, 7]
    assert read_scores(photographs / "b" / "version=3")["error"].isna().all()
    assert "passed over: 3 files, written by a prediction" in capsys.readouterr().out


def test_folders_behind_links_are_scored_once_and_junk_is_counted_instead_of_scored(
    entry, photographs, tmp_path, capsys
):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    Image.new("RGB", (30, 20), (200, 10, 10)).save(elsewhere / "7.png")
    (photographs / "link").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(photographs)
    for name in ("Thumbs.db", ".ipynb_checkpoints/0-checkpoint.png", "shift/@eaDir/0.png"):
        (photographs / name).parent.mkdir(exist_ok=True)
        (photographs / name).write_bytes(b"junk")
    out = tmp_path / "out"
    out.mkdir()

    with model_of(entry) as folder:
        assert score_source(load_served(folder), str(photographs), out, batch=9, timeout_s=5) == 8

    table = read_scores(out)
    assert sorted(table["path"]) == sorted(["link/7.png", *(f"shift/{index}.png" for index in range(7))])
    assert table["error"].isna().all()
    assert f"passed over: 3 files, {LEFT_BEHIND}" in capsys.readouterr().out


def test_a_killed_scoring_goes_on_and_scores_no_image_twice(entry, photographs, tmp_path):
    out, request = tmp_path / "out", tmp_path / "request.json"
    with model_of(entry) as folder:
        request.write_text(
            json.dumps({"model": str(folder), "source": str(photographs), "out": str(out), "batch": 1, "timeout_s": 5})
        )
        command = [sys.executable, "-m", "pipelines.flows.score_worker", str(request)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        while "1 of 7" not in process.stdout.readline():
            time.sleep(0.001)
        process.kill()
        process.wait()
        process.stdout.close()
        before = len(list(out.glob("part-*.parquet")))
        done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert 1 <= before < 7, "it ended before it could be killed"
    assert done.returncode == 0, done.stdout
    assert f"{7 - before} of {7 - before} images scored" in done.stdout
    assert sorted(read_scores(out)["path"]) == [f"shift/{index}.png" for index in range(7)]


@pytest.mark.parametrize(
    ("source", "complaint"),
    [("nowhere", "nowhere: no files here"), ("ftp://x/y", "ftp://x/y: expected a folder or s3://BUCKET/PREFIX")],
)
def test_a_source_that_cannot_be_read_is_one_line(tmp_path, source, complaint):
    with pytest.raises(ValueError, match=complaint):
        score_source(None, source, tmp_path, batch=1, timeout_s=1)
