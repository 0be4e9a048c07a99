"""The layout of a folder is recognised by what it accounts for."""

import json
import shutil
from pathlib import Path

import pytest

from stages.download.layouts.recognise import layouts_to_try, recognise
from toys.pictures import mark, paint


def names(root, preferred=None):
    return [(fit.layout, sorted(fit.categories)) for fit in recognise(root, layouts_to_try(), preferred)]


@pytest.fixture
def set_of_nuts(nut, tmp_path):
    return Path(shutil.copytree(nut, tmp_path / "nuts"))


def test_folders_of_defects_are_the_layout_of_mvtec(set_of_nuts):
    assert names(set_of_nuts) == [("folder", ["nut"])]


def test_a_folder_of_one_category_is_named_by_itself(set_of_nuts):
    assert names(set_of_nuts / "nut") == [("folder", ["nut"])]


def test_a_wrapping_folder_is_stepped_through(set_of_nuts, tmp_path):
    (tmp_path / "outer").mkdir()
    set_of_nuts.rename(tmp_path / "outer" / "inner")

    assert names(tmp_path / "outer") == [("folder", ["nut"])]


def test_every_category_is_found_once(set_of_nuts):
    shutil.copytree(set_of_nuts / "nut", set_of_nuts / "bolt")

    assert names(set_of_nuts) == [("folder", ["bolt", "nut"])]


def test_a_known_data_set_decides_between_layouts_that_account_for_as_much(set_of_nuts):
    assert names(set_of_nuts, "labelme") == [("labelme", ["nut"])]
    assert names(set_of_nuts, "coco") == [("folder", ["nut"])]


def test_an_export_of_coco_is_not_taken_for_labelme(tmp_path):
    for i in range(3):
        paint(tmp_path / f"{i}.png", seed=i)
    images = [{"id": i, "file_name": f"{i}.png", "width": 48, "height": 40} for i in range(3)]
    square = {
        "id": 1,
        "image_id": 1,
        "category_id": 1,
        "segmentation": [[4, 4, 9, 4, 9, 9, 4, 9]],
        "bbox": [4, 4, 5, 5],
    }
    table = {"images": images, "annotations": [square], "categories": [{"id": 1, "name": "scratch"}]}
    (tmp_path / "export.json").write_text(json.dumps(table))

    assert names(tmp_path) == [("coco", ["all"])]


def test_a_folder_beside_which_masks_lie_is_that_of_anomalib(tmp_path):
    for i in range(3):
        paint(tmp_path / "screw" / "good" / f"{i}.png", seed=i)
        paint(tmp_path / "screw" / "scratch" / f"{i}.png", seed=9 + i)
        mark(tmp_path / "screw" / "mask" / "scratch" / f"{i}.png")

    assert names(tmp_path) == [("anomalib_folder", ["screw"])]


@pytest.mark.parametrize("what", ["nothing", "notes", "defects alone"])
def test_what_holds_no_normal_image_fits_no_layout(tmp_path, what):
    if what == "notes":
        (tmp_path / "a.txt").write_text("hello")
    elif what == "defects alone":
        paint(tmp_path / "part" / "test" / "scratch" / "0.png", seed=0)

    assert names(tmp_path) == []
