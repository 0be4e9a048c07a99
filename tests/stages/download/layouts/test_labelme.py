import json

import pytest

from stages.download.layouts import labelme
from toys.pictures import paint

NAMES = ["01_200901053246_477500_315_crop_2", "01_200902053246_477500_315_crop_2", "01_200902053246_585000_090_crop_1"]


@pytest.fixture
def native(tmp_path):
    """A miniature of BSData as downloaded: three photographs of two places, one pitting."""
    for i, name in enumerate(NAMES):
        paint(tmp_path / f"data/{name}.png", seed=i)
    shapes = [{"label": "Pitting", "points": [[1, 2], [5, 2], [5, 6]], "shape_type": "polygon"}]
    (tmp_path / "label").mkdir()
    (tmp_path / f"label/{NAMES[2]}.json").write_text(json.dumps({"shapes": shapes}))
    return tmp_path


def test_bsdata_is_read_as_downloaded(native, rows):
    listing = labelme.find(native, "all")

    assert rows(listing) == [
        (f"data/{NAMES[0]}.png", None, 0, "good", None),
        (f"data/{NAMES[1]}.png", None, 0, "good", None),
        (f"data/{NAMES[2]}.png", None, 1, "pitting", f"masks/data/{NAMES[2]}.png"),
    ]
    assert listing.items[2].outline == (((1, 2), (5, 2), (5, 6)),)


def test_one_place_on_the_spindle_is_one_object(native):
    groups = [item.group for item in labelme.find(native, "all").items]

    assert groups == ["477500_315_crop_2", "477500_315_crop_2", "585000_090_crop_1"]


def test_a_rectangle_has_four_corners(native):
    shapes = [{"label": "Pitting", "points": [[1, 2], [5, 6]], "shape_type": "rectangle"}]
    (native / f"label/{NAMES[2]}.json").write_text(json.dumps({"shapes": shapes}))

    assert labelme.find(native, "all").items[2].outline == (((1, 2), (5, 2), (5, 6), (1, 6)),)


@pytest.mark.parametrize("content", ["{", "{}", '{"shapes": [{"label": "x", "points": [[1, 2], [3, 4]]}]}'])
def test_an_annotation_without_area_is_refused(native, content):
    (native / f"label/{NAMES[2]}.json").write_text(content)

    with pytest.raises(ValueError, match="not a labelme annotation of polygons and rectangles"):
        labelme.find(native, "all")


def test_an_annotation_without_an_image_is_told(native):
    (native / "label/gone.json").write_text('{"shapes": []}')

    assert labelme.find(native, "all").orphans == ("label/gone.json",)


def test_a_folder_without_annotations_is_refused(tmp_path):
    paint(tmp_path / "a.png")

    with pytest.raises(ValueError, match=r"no category `x` \(expected \.json annotations below .*x\)$"):
        labelme.find(tmp_path, "x")


def test_a_misspelt_category_is_told_which_there_are(native):
    (native / "spare").mkdir()

    with pytest.raises(ValueError, match=r"no category `ball_scrw` .*; it holds all, label$"):
        labelme.find(native, "ball_scrw")


def test_an_annotation_that_may_be_of_two_images_is_refused(native):
    paint(native / f"more/{NAMES[2]}.png", seed=9)

    with pytest.raises(ValueError, match=r"crop_1\.json: 2 images have its name; put it beside its own"):
        labelme.find(native, "all")


def test_images_of_one_name_have_the_annotations_beside_them(tmp_path):
    shapes = [{"label": "Pitting", "points": [[1, 2], [5, 6]], "shape_type": "rectangle"}]
    for i, part in enumerate(("train", "valid")):
        paint(tmp_path / part / "a.png", seed=i)
    (tmp_path / "valid/a.json").write_text(json.dumps({"shapes": shapes}))

    assert [item.label for item in labelme.find(tmp_path, "all").items] == [0, 1]
