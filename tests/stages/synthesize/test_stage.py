import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from diffusionad.data.images import read_image, read_mask
from diffusionad.data.manifest import write_manifest
from diffusionad.synthesis.blend import SynthesisConfig, draw_anomaly
from diffusionad.synthesis.draws import item_generator
from diffusionad.synthesis.textures import Textures
from stages.params import Category
from stages.paths import CategoryPaths
from stages.synthesize import stage
from stages.synthesize.stage import SyntheticSetsConfig, synthesize
from toys.manifest import fill

SETTINGS = Path(__file__).parents[2] / "diffusionad" / "synthesis" / "settings.json"
CONFIG = SyntheticSetsConfig(
    seed=3, count_per_image=2, anomalies=SynthesisConfig.model_validate_json(SETTINGS.read_text())
)
SIZE = (32, 48)
ROWS = [(f"{split}/{i}.png", split, 0) for split, n in (("train", 4), ("val", 3), ("test", 2)) for i in range(n)]
ROWS += [("test/bad.png", "test", 1)]


def write_rows(paths, rows, mask=None):
    frame = fill([{"path": path, "split": split, "label": label} for path, split, label in rows])
    frame["sha256"] = [f"{number:064x}"[::-1] for number in range(1, len(rows) + 1)]
    frame["mask"] = pd.Series([mask if label else None for label in frame["label"]], dtype=object)
    write_manifest(frame, paths.manifest, {})


@pytest.fixture
def paths(tmp_path, monkeypatch):
    """Coloured noise as photographs; anomalies may lie on the left half."""
    monkeypatch.chdir(tmp_path)
    paths = CategoryPaths("toys", "noise")
    rng = np.random.default_rng(0)
    half = np.zeros((40, 60), np.uint8)
    half[:, :30] = 255
    for name, _, label in ROWS:
        for folder in (paths.images, paths.foreground):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (40, 60, 3), np.uint8)).save(paths.images / name)
        if not label:
            Image.fromarray(half).save(paths.foreground / name)
    write_rows(paths, ROWS)
    return paths


def run(paths, config=CONFIG):
    synthesize(
        config,
        SIZE,
        manifest=paths.manifest,
        images=paths.images,
        foreground=paths.foreground,
        synthetic=paths.synthetic,
        previews=paths.previews,
    )


def load(paths, name="val.npz"):
    with np.load(paths.synthetic / name, allow_pickle=False) as stored:
        return {key: stored[key] for key in stored.files}


def outputs(paths):
    return {f.name: f.read_bytes() for f in [*paths.synthetic.iterdir(), paths.previews]}


def test_each_held_out_normal_image_gets_the_asked_number_of_anomalies(paths):
    run(paths)
    val = load(paths)

    assert val["images"].shape == (6, *SIZE, 3)
    assert val["images"].dtype == val["masks"].dtype == np.uint8
    assert val["masks"].shape == (6, *SIZE)
    assert set(np.unique(val["masks"])) == {0, 1}
    assert val["masks"].any(axis=(1, 2)).all()
    assert val["paths"].tolist() == [f"val/{i}.png" for i in (0, 0, 1, 1, 2, 2)]
    assert val["indices"].tolist() == [0, 1] * 3


def test_outside_the_mask_stands_the_photograph_and_the_mask_lies_in_the_foreground(paths):
    run(paths)
    val = load(paths)

    for name, picture, mask in zip(val["paths"], val["images"], val["masks"] > 0, strict=True):
        photograph = np.round(read_image(paths.images / name, SIZE) * 255)
        np.testing.assert_array_equal(picture[~mask], photograph[~mask])
        assert not (mask & ~read_mask(paths.foreground / name, SIZE)).any()


def test_the_anomalies_on_one_image_differ(paths):
    run(paths)
    val = load(paths)

    assert len({picture.tobytes() for picture in val["images"]}) == 6


def test_two_runs_write_the_same_bytes(paths):
    run(paths)
    first = outputs(paths)
    run(paths)

    assert outputs(paths) == first


def test_an_image_keeps_its_anomalies_whatever_else_is_in_the_set(paths):
    run(paths)
    before = load(paths)
    frame = pd.read_parquet(paths.manifest)
    write_manifest(frame[frame["path"] != "val/0.png"], paths.manifest, {})

    run(paths)

    np.testing.assert_array_equal(load(paths)["images"], before["images"][2:])


def test_the_settings_beside_the_set_draw_it_again(paths):
    run(paths)
    val = load(paths)
    settings = SynthesisConfig.model_validate_json((paths.synthetic / "settings.json").read_text())
    sha256 = pd.read_parquet(paths.manifest).set_index("path").loc["val/1.png", "sha256"]

    drawn = draw_anomaly(
        settings,
        read_image(paths.images / "val/1.png", SIZE),
        read_mask(paths.foreground / "val/1.png", SIZE),
        Textures(settings.textures, SIZE),
        item_generator(CONFIG.seed, sha256, 1),
    )

    np.testing.assert_array_equal(np.round(drawn.image * 255), val["images"][3])
    np.testing.assert_array_equal(drawn.mask, val["masks"][3])


def test_another_seed_is_another_set(paths):
    run(paths)
    first = load(paths)["images"]
    run(paths, CONFIG.model_copy(update={"seed": 4}))

    assert not np.array_equal(load(paths)["images"], first)


def test_a_test_split_without_masks_gets_a_synthetic_set_of_its_normal_images(paths):
    run(paths)

    assert load(paths, "test.npz")["paths"].tolist() == ["test/0.png"] * 2 + ["test/1.png"] * 2


def test_a_test_split_with_masks_gets_none(paths):
    write_rows(paths, ROWS, mask="truth/bad.png")

    run(paths)

    assert sorted(f.name for f in paths.synthetic.iterdir()) == ["settings.json", "val.npz"]


def test_the_previews_show_a_training_image_its_anomaly_and_the_mask(paths):
    run(paths)

    sheet = np.asarray(Image.open(paths.previews))
    assert sheet.shape == (4 + 2 * 132, 4 + 9 * 132, 3)  # four training images, three triplets a row
    first, second, mask = (sheet[4:132, 4 + 132 * i : 132 + 132 * i].astype(int) for i in range(3))
    change = np.abs(first - second).max(axis=2) > 0
    assert set(np.unique(mask[22:107])) == {0, 255}
    assert change.any()
    assert not change[mask[..., 0] == 0].any()


@pytest.mark.parametrize("split", ["train", "val"])
def test_a_split_without_normal_images_is_refused(paths, split):
    write_rows(paths, [row for row in ROWS if row[1] != split])

    with pytest.raises(ValueError, match=f"no normal image in split {split}"):
        run(paths)


def test_a_missing_foreground_leaves_the_last_good_set_in_place(paths):
    run(paths)
    before = outputs(paths)
    (paths.foreground / "val/2.png").unlink()

    with pytest.raises(ValueError, match=r"val/2\.png"):
        run(paths)

    assert outputs(paths) == before


def test_the_command_line_reads_its_sections_and_writes_the_named_files(paths, monkeypatch):
    monkeypatch.setattr(stage, "read_section", lambda _, name: {"synthesis": CONFIG}[name])
    monkeypatch.setattr(stage, "read_image_size", lambda key: {"noise": SIZE}[key])
    monkeypatch.setattr("stages.command.read_category", lambda _: Category(dataset="toys", category="noise"))
    monkeypatch.setattr(sys, "argv", ["synthesize", "noise"])

    stage.main()

    assert json.loads((paths.synthetic / "settings.json").read_text()) == json.loads(SETTINGS.read_text())
    assert load(paths)["images"].shape[1:3] == SIZE
    assert paths.previews.exists()
