import logging
import sys
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from diffusionad.data.manifest import SCHEMA, write_manifest
from diffusionad.synthesis.foreground import ForegroundConfig
from stages import foreground as stage
from stages.foreground import foreground
from stages.params import Category
from stages.paths import CategoryPaths

CONFIG = ForegroundConfig(
    rule="otsu", working_px=128, border_px=3, closing_px=3, opening_px=3, piece_fraction=0.2, area=(0.02, 0.95)
)
SIZE = (60, 80)
SPLITS = {"train/a.jpg": "train", "train/b.png": "train", "val/c.png": "val", "test/d.png": "test"}


def disc(at):
    y, x = np.mgrid[0 : SIZE[0], 0 : SIZE[1]]
    return (y - 30) ** 2 + (x - at) ** 2 < 18**2


def write_images(paths, names):
    for i, name in enumerate(names):
        file = paths.images / name
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.where(disc(30 + 5 * i), 200, 30).astype(np.uint8)).save(file)


def write_rows(paths, names, label=0):
    frame = pd.DataFrame({"path": list(names)})
    for column in SCHEMA.names:
        if column not in frame:
            frame[column] = "" if SCHEMA.field(column).type == "string" else 0
    frame["label"] = label
    frame["split"] = [SPLITS.get(name, "test") for name in names]
    write_manifest(frame, paths.manifest, {})


@pytest.fixture
def paths(tmp_path, monkeypatch):
    """A category of four normal photographs, in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    paths = CategoryPaths("toys", "discs")
    write_images(paths, SPLITS)
    write_rows(paths, SPLITS)
    return paths


def run(paths, method="threshold", config=CONFIG):
    foreground(
        config,
        method,
        manifest=paths.manifest,
        images=paths.images,
        masks=paths.foreground,
        sheet=paths.foreground_sheet,
    )


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
    first = contents(paths.foreground), paths.foreground_sheet.read_bytes()
    run(paths)

    assert (contents(paths.foreground), paths.foreground_sheet.read_bytes()) == first


def test_the_sheet_shows_a_red_outline_at_the_edge_of_the_object_alone(paths):
    run(paths)

    sheet = np.asarray(Image.open(paths.foreground_sheet)).astype(int)
    red = (sheet[..., 0] > 150) & (sheet[..., 1] < 100)
    assert 0.005 < red.mean() < 0.1


def test_images_without_a_credible_object_are_counted(paths, caplog):
    with caplog.at_level(logging.WARNING):
        run(paths, config=CONFIG.model_copy(update={"area": (0.9, 1.0)}))

    assert "no credible object on 4 of 4 images" in caplog.text
    assert all(np.asarray(Image.open(f)).min() == 255 for f in paths.foreground.rglob("*.png"))


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


def start(monkeypatch, method):
    """Call the command line with sections in place of params.yaml."""
    sections = {"foreground": CONFIG, "datasets.toys": SimpleNamespace(foreground=method)}
    monkeypatch.setattr(stage, "read_section", lambda _, name: sections[name])
    monkeypatch.setattr("stages.command.read_category", lambda _: Category(dataset="toys", category="discs"))
    monkeypatch.setattr(sys, "argv", ["foreground", "discs"])
    stage.main()


def test_the_data_set_chooses_the_method(paths, monkeypatch):
    start(monkeypatch, "full")
    whole = contents(paths.foreground)
    start(monkeypatch, "threshold")

    assert contents(paths.foreground) != whole


def test_an_unknown_method_ends_in_one_line(paths, monkeypatch):
    with pytest.raises(SystemExit, match=r"datasets\.toys\.foreground.*expected full or threshold, got 'magic'"):
        start(monkeypatch, "magic")
