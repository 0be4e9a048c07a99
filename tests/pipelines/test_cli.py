"""The command line: exit statuses, and errors in one line."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from diffusionad.data.images import read_image
from diffusionad.detector import Detector
from diffusionad.runtime.batches import to_tensor
from pipelines import cli
from pipelines.promotion.journal import aliases
from pipelines.tracking.store import EMBEDDED

pytestmark = pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")  # mlflow leaves SQLite open

TOY = ("--dataset", "toy", "--category", "disc")


def test_register_override_explain_history_and_rollback(client, run):
    assert run("track", "--all")[0] == 0
    assert run("register", *TOY)[1] == "toy-disc: version 1\n"
    assert "as before: nothing new" in run("register", *TOY)[1]
    assert run("promote", *TOY, "--override", "--why", "the first one")[0] == 0

    status, text, _ = run("history", *TOY)
    assert status == 0
    assert "none -> 1" in text
    assert "the first one" in text
    explained = run("explain", *TOY, "champion")[1]
    assert "toy-disc version 1" in explained
    assert "git.commit" in explained
    assert "not judged yet" in explained
    assert run("rollback", *TOY)[2].startswith("error: toy-disc: nothing to roll back to")
    assert aliases(client, "toy-disc") == {"champion": "1"}


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("register",), "error: which data set? say --dataset"),
        (("register", "--dataset", "none"), "error: params.yaml: no category none/any; it holds toy/disc"),
        (("promote", *TOY), "error: toy-disc: no version is registered; run `diffusionad register` first"),
        (("promote", *TOY, "--override"), "error: toy-disc: no version is registered"),
        (("rollback", *TOY), "error: "),
        (("history", *TOY), "error: "),
        (("explain", *TOY, "3"), "error: toy-disc: no version or alias `3`; versions: none"),
        (
            ("predict", "--model", "models:/none@champion", "params.yaml", "--out", "out"),
            "error: models:/none@champion: c",
        ),
        (("predict", "--model", "models", "params.yaml", "--out", "out"), "error: models: expected model.json of a tr"),
        (("predict", "--model", "models/toy", "params.yaml", "--out", "out"), "error: models/toy: expected model.json"),
        (("predict", "--model", "models/toy/disc", "nowhere.png", "--out", "out"), "error: nowhere.png: no such file"),
    ],
)
def test_an_error_is_one_line_and_status_1(repository, run, arguments, complaint):
    status, _, line = run(*arguments)

    assert status == 1
    assert line.startswith(complaint)
    assert line.count("\n") == 1


def test_rules_that_are_not_numbers_stop_a_promotion_by_their_key(client, run):
    run("register", *TOY)
    params = Path("params.yaml")
    params.write_text(params.read_text().replace("size_mib: 512", "size_mib: much"))

    status, _, line = run("promote", *TOY)

    assert status == 1
    assert "promotion.default.size_mib" in line
    assert aliases(client, "toy-disc") == {}


def test_a_registry_that_may_only_be_read_says_so_and_keeps_its_champion(client, entry, run, workshop, monkeypatch):
    run("register", *TOY)
    run("promote", *TOY, "--override", "--why", "the first one")
    workshop.write_model(entry.paths.model, seed=1)
    run("register", *TOY)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///file:{EMBEDDED.absolute()}/mlflow.db?mode=ro&uri=true")

    status, _, line = run("promote", *TOY, "--override", "--why", "the second one")

    assert status == 1
    assert line.startswith("error: ")
    assert line.endswith("attempt to write a readonly database\n")
    assert aliases(client, "toy-disc") == {"champion": "1"}


def test_a_refusal_prints_the_table_and_has_a_status_of_its_own(client, run):
    run("register", *TOY)

    status, table, _ = run("promote", *TOY)

    assert status == 3
    assert "REFUSE" in table
    assert "image_auroc" in table
    assert aliases(client, "toy-disc") == {}


def test_a_folder_becomes_a_table_heat_maps_and_overlays(client, run, tmp_path):
    run("register", *TOY)
    folder, out = tmp_path / "photographs", tmp_path / "out"
    (folder / "shift").mkdir(parents=True)
    Image.new("RGB", (30, 20), (200, 10, 10)).save(folder / "shift" / "one.png")
    (folder / "notes.txt").write_text("no image")

    status, text, errors = run("predict", "--model", "models:/toy-disc/1", str(folder), "--out", str(out))

    assert status == 1
    assert errors.startswith("error: notes.txt: ")
    assert text.startswith("1 images, ")
    table = pd.read_csv(out / "predictions.csv").set_index("path")
    assert 0 <= table.loc["shift/one.png", "score"] <= 1
    assert "not an image" in table.loc["notes.txt", "error"]
    for kind in ("heat", "overlay"):
        assert np.asarray(Image.open(out / kind / "shift" / "one.png.png")).shape == (20, 30, 3)


def test_a_trained_folder_predicts_as_its_registered_version_and_a_second_run_scores_no_pictures(
    client, entry, run, tmp_path
):
    run("register", *TOY)
    folder = entry.paths.images / "test"
    arguments = ["predict", str(folder), "--out", str(folder / "out"), "--model"]

    first, _, _ = run(*arguments, "models:/toy-disc/1")
    before = pd.read_csv(folder / "out" / "predictions.csv")
    second, text, _ = run(*arguments, str(entry.paths.model))
    after = pd.read_csv(folder / "out" / "predictions.csv")

    assert (first, second) == (0, 0)
    assert len(before) == 12
    unlike = ["latency_ms"]
    pd.testing.assert_frame_equal(before.drop(columns=unlike), after.drop(columns=unlike))
    assert "passed over: 25 files, written by a prediction" in text


def test_a_speck_is_refused_and_what_a_camera_writes_is_read_as_in_training(entry, run, tmp_path):
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (20, 30, 3)).astype(np.uint8)
    turned = Image.Exif()
    turned[0x0112] = 6
    pictures = {
        "turned.png": (Image.fromarray(pixels), {"exif": turned}),
        "deep.png": (Image.fromarray(pixels[..., 0].astype(np.uint16) * 257), {}),
        "grey.png": (Image.fromarray(pixels[..., 0]), {}),
        "palette.png": (Image.fromarray(pixels).quantize(8), {}),
        "speck.png": (Image.new("RGB", (1, 1)), {}),
    }
    folder, out = tmp_path / "photographs", tmp_path / "out"
    folder.mkdir()
    for name, (picture, options) in pictures.items():
        picture.save(folder / name, **options)

    status, _, errors = run("predict", "--model", str(entry.paths.model), str(folder), "--out", str(out))

    assert (status, errors.count("\n")) == (1, 1)
    assert errors.startswith("error: speck.png: 1 x 1 px, too small to be judged; expected at least 2 x 2 px")
    score = pd.read_csv(out / "predictions.csv").set_index("path")["score"]
    for name in ("turned.png", "deep.png", "grey.png", "palette.png"):
        expected = Detector.load(entry.paths.model).predict(to_tensor(read_image(folder / name, (16, 16))[None]))
        assert score[name] == pytest.approx(float(expected.image_score[0]), abs=1e-9)
    assert score["deep.png"] == score["grey.png"]
    assert np.asarray(Image.open(out / "overlay" / "turned.png.png")).shape == (30, 20, 3)


def test_no_module_of_the_room_but_the_ablation_loads_torch_when_it_is_imported():
    # An ablation trains and evaluates in its own process; the command line imports it only when asked to.
    files = [file for file in Path(cli.__file__).parent.rglob("[a-z]*.py") if file.parent.name != "ablation"]
    room = Path(cli.__file__).parent
    modules = [".".join(("pipelines", *file.relative_to(room).with_suffix("").parts)) for file in files]
    assert len(modules) > 30
    program = (
        f"import importlib, sys; [importlib.import_module(m) for m in {modules}]; sys.exit('torch' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
