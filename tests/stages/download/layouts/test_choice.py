from typing import get_args

import pytest

from stages.download.layouts import choice as layouts
from toys.pictures import paint


def test_every_layout_that_may_be_named_is_read():
    assert set(get_args(layouts.Layout)) == set(layouts.FINDERS)


@pytest.mark.parametrize("wrapper", ["", "mvtec", "mvtec/mvtec_ad"])
def test_folders_that_an_archive_adds_are_stepped_through(tmp_path, wrapper):
    paint(tmp_path / wrapper / "bottle/train/good/0.png")

    assert layouts.find("folder", tmp_path, "bottle").home == tmp_path / wrapper / "bottle"


@pytest.mark.parametrize("layout", ["folder", "anomalib_folder", "dagm", "magnetic_tile", "ksdd"])
def test_the_only_category_is_not_taken_for_another(tmp_path, layout):
    """A wrapper is stepped into, a category is not: `nuts` is not `nut`."""
    for name in ("train/good/exp1_num_1.png", "Train/0.PNG", "good/0.png"):
        paint(tmp_path / "nut" / name)

    with pytest.raises(ValueError, match=r"nuts|expected"):
        layouts.find(layout, tmp_path, "nuts")


def test_the_refusal_is_about_the_folder_that_was_named(tmp_path):
    (tmp_path / "a/b/c/d").mkdir(parents=True)

    with pytest.raises(ValueError, match=f"{tmp_path}: no category `bottle`"):
        layouts.find("folder", tmp_path, "bottle")


def test_a_category_without_images_is_refused(tmp_path):
    (tmp_path / "bottle/train").mkdir(parents=True)

    with pytest.raises(ValueError, match="bottle: no image of category `bottle`"):
        layouts.find("folder", tmp_path, "bottle")


def test_checksums_beside_the_data_are_taken_for_their_files(tmp_path):
    paint(tmp_path / "bottle/train/good/0.png")
    lines = [f"{'A' * 64}  bottle/train/good/0.png", f"{'b' * 64} *cable/train/good/0.png"]
    (tmp_path / "MANIFEST.sha256").write_text("\n".join(lines))

    assert layouts.find("folder", tmp_path, "bottle").digests == {"train/good/0.png": "a" * 64}


def test_a_path_that_leads_out_of_the_category_is_refused(tmp_path):
    paint(tmp_path / "up.png")
    (tmp_path / "visa/split_csv").mkdir(parents=True)
    table = "object,split,label,image,mask\nnut,train,normal,nut/x/../../up.png,\n"
    (tmp_path / "visa/split_csv/1cls.csv").write_text(table)

    with pytest.raises(ValueError, match=r"'x/\.\./\.\./up\.png' leads out of the folder"):
        layouts.find("visa", tmp_path / "visa", "nut")


def test_a_mask_that_may_be_of_two_images_is_refused(tmp_path):
    for i, name in enumerate(["train/good/0.png", "test/bad/part.png", "test/bad/part_label.png"]):
        paint(tmp_path / "nut" / name, seed=i)
    paint(tmp_path / "nut/ground_truth/bad/part_label.png")

    with pytest.raises(ValueError, match=r"it may be the mask of test/bad/part\.png or of test/bad/part_label\.png"):
        layouts.find("folder", tmp_path, "nut")
