import json
import logging
import shutil
from pathlib import Path

import pytest
from PIL import Image

from diffusionad.data.manifest import manifest_digest, read_manifest, read_metadata
from stages.download.stage import download
from stages.paths import CategoryPaths
from toys.pictures import mark, paint


@pytest.fixture
def here(tmp_path, monkeypatch):
    """An empty repository to stand in."""
    (tmp_path / "repository").mkdir()
    monkeypatch.chdir(tmp_path / "repository")
    return tmp_path / "repository"


@pytest.fixture
def run(here, dataset_config, download_config):
    def of(source, category="nut", mirror=None, config=download_config, **changes):
        dataset = dataset_config(sources=[{"url": str(source), "sha256": None}] if source else [], **changes)
        paths = CategoryPaths("mine", category)
        download(dataset, config, paths=paths, mirror=mirror, cache=here / "cache")
        return paths

    return of


def tree(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_folder_of_ones_own_becomes_images_manifest_summary_and_verdict(run, nut):
    paths = run(nut)

    frame = read_manifest(paths.manifest)
    summary = json.loads(paths.summary.read_text())
    assert tree(paths.images) == tree(nut / "nut")
    assert len(frame) == summary["images"] == 17
    assert {name: summary[name] for name in ("train_normal", "val_normal", "test_normal", "test_anomalous")} == {
        "train_normal": 11,
        "val_normal": 1,
        "test_normal": 3,
        "test_anomalous": 2,
    }
    assert summary["manifest_sha256"] == manifest_digest(paths.manifest)
    assert read_metadata(paths.manifest)["licence"] == summary["licence"] == "CC0"
    assert json.loads(paths.validation.read_text())["accepted"] is True
    assert "mine/nut: accepted" in paths.validation_page.read_text()


def test_the_page_says_of_how_many_images_the_pixels_are_known(run, nut, download_config):
    bound = download_config.model_copy(update={"max_megapixels_decoded": 5 * 40 * 48 / 1e6})

    page = run(nut, config=bound).validation_page.read_text()

    assert "The pixels of 5 images were decoded" in page
    assert "were decoded" not in run(nut).validation_page.read_text()


def test_paths_of_the_manifest_are_those_of_the_images(run, nut):
    paths = run(nut)

    frame = read_manifest(paths.manifest)

    names = {*frame["path"], *frame["mask"].dropna()}
    assert names == set(tree(paths.images))


def test_every_byte_is_the_same_wherever_the_data_lie_and_however_often(run, nut, tmp_path, here):
    run(nut)
    first = tree(here)
    run(shutil.copytree(nut, tmp_path / "elsewhere"))
    again = tree(here)
    shutil.rmtree(here / "data")
    shutil.rmtree(here / "reports")
    run(shutil.make_archive(tmp_path / "packed", "gztar", nut))

    assert again == first
    assert {name: data for name, data in tree(here).items() if not name.startswith("cache")} == first


def test_the_licence_is_told_once_and_its_terms(run, nut, caplog):
    with caplog.at_level(logging.INFO):
        run(nut, licence="CC BY-NC-SA 4.0", non_commercial=True, licence_url="https://example.org")

    told = [record.message for record in caplog.records if "licence" in record.message]
    assert told == ["licence of mine: CC BY-NC-SA 4.0, not for commercial use https://example.org"]


def test_warnings_are_told_and_do_not_stop(run, nut, tmp_path, caplog):
    copied = shutil.copytree(nut, tmp_path / "copy")
    Image.open(copied / "nut/train/good/03.png").save(copied / "nut/test/good/99.bmp")

    paths = run(copied)

    assert "test/good/99.bmp: expected no near-duplicate in another split; got train/good/03.png in " in caplog.text
    assert json.loads(paths.validation.read_text())["warned"] == 1


def test_drift_against_the_data_accepted_last_is_told(run, nut, tmp_path, caplog):
    dark = shutil.copytree(nut, tmp_path / "dark")
    for path in (dark / "nut").rglob("*/good/*.png"):
        Image.open(path).point(lambda value: value // 3).save(path)
    run(nut)
    caplog.clear()

    run(dark)

    assert "mine/nut: expected a mean brightness within 0.1 of the data accepted last; got 0.3" in caplog.text


def test_images_that_take_no_part_are_not_left_lying(run, tmp_path):
    for i in range(20):
        paint(tmp_path / f"kos{i:02d}/Part0.jpg", seed=i)
        mark(tmp_path / f"kos{i:02d}/Part0_label.bmp", box=(0, 0))
        paint(tmp_path / f"kos{i:02d}/Part1.jpg", seed=100 + i)
        mark(tmp_path / f"kos{i:02d}/Part1_label.bmp")

    paths = run(tmp_path, "commutator", layout="ksdd")

    frame = read_manifest(paths.manifest)
    summary = json.loads(paths.summary.read_text())
    assert summary["left_out"] == {"anomalous, but its object is among the training images": 15}
    assert set(tree(paths.images)) == {*frame["path"], *frame["mask"].dropna()}
    assert frame.groupby("group")["split"].nunique().max() == 1


def test_outlines_become_masks(run, tmp_path):
    images = [{"id": i, "file_name": f"{i:02d}.png"} for i in range(16)]
    box = {"image_id": 15, "category_id": 1, "bbox": [4, 5, 10, 12]}
    for i in range(16):
        paint(tmp_path / f"nut/{i:02d}.png", seed=i)
    table = {"images": images, "annotations": [box], "categories": [{"id": 1, "name": "dent"}]}
    (tmp_path / "nut/all.json").write_text(json.dumps(table))

    paths = run(tmp_path, layout="coco")

    row = read_manifest(paths.manifest).set_index("path").loc["15.png"]
    assert (row["defect"], row["mask"]) == ("dent", "masks/15.png")
    assert Image.open(paths.images / "masks/15.png").getbbox() == (4, 5, 14, 17)


@pytest.mark.parametrize("packed", [False, True])
def test_names_of_any_script_and_length_are_kept(run, nut, tmp_path, packed):
    source = Path(shutil.copytree(nut, tmp_path / "copy"))
    names = ["Ünïcödé 名前.PNG", f"{'n' * 250}.png", "two  spaces & #.png"]
    for i, name in enumerate(names):
        (source / f"nut/train/good/{i:02d}.png").rename(source / "nut/train/good" / name)

    paths = run(shutil.make_archive(tmp_path / "packed", "zip", source) if packed else source)

    assert {f"train/good/{name}" for name in names} < set(read_manifest(paths.manifest)["path"])
    assert {f"train/good/{name}" for name in names} < set(tree(paths.images))
