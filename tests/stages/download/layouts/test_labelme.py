import base64
import io
import json

import numpy as np
import pytest
from PIL import Image

from stages.download.layouts import labelme
from stages.download.layouts.outlines import Polygon, Stamp, draw_outlines
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
    assert listing.items[2].outline == (Polygon(((1, 2), (5, 2), (5, 6))),)


def test_one_place_on_the_spindle_is_one_object(native):
    groups = [item.group for item in labelme.find(native, "all").items]

    assert groups == ["477500_315_crop_2", "477500_315_crop_2", "585000_090_crop_1"]


def test_a_rectangle_has_four_corners(native):
    shapes = [{"label": "Pitting", "points": [[1, 2], [5, 6]], "shape_type": "rectangle"}]
    (native / f"label/{NAMES[2]}.json").write_text(json.dumps({"shapes": shapes}))

    assert labelme.find(native, "all").items[2].outline == (Polygon(((1, 2), (5, 2), (5, 6), (1, 6))),)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "not valid JSON"),
        ("[]", "expected the key `shapes`"),
        ("{}", "expected the key `shapes`"),
        ('{"shapes": 3}', "expected a list of records below `shapes`, got 3"),
        ('{"shapes": [{"label": "x", "points": [[1, 2], [3, 4]]}]}', r"shape 1 \(x\) .*2 points mark no area"),
        ('{"shapes": [{"label": "x", "points": [[1, 2], [3, 4], [5, 6], [NaN, 1]]}]}', r"outside of any image"),
        ('{"shapes": [{"label": "x", "points": [[1, 2], [1, 4], [1, 6]]}]}', "lie on one line"),
        ('{"shapes": [{"label": "x", "points": [[1, 2]], "shape_type": "point"}]}', "a point marks no area; draw"),
        ('{"shapes": [{"label": "x", "points": [[1, 2]], "shape_type": "cuboid"}]}', "a shape of type 'cuboid'"),
        ('{"shapes": [{"label": "x", "points": [[1, 2]], "shape_type": "mask", "mask": "?"}]}', "no base64"),
    ],
)
def test_an_annotation_that_cannot_be_read_is_refused_by_file_and_shape(native, content, told):
    (native / f"label/{NAMES[2]}.json").write_text(content)

    with pytest.raises(ValueError, match=rf"crop_1\.json: .*{told}"):
        labelme.find(native, "all")


def png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize(
    ("kind", "points", "area"),
    [
        ("polygon", [[2, 3], [6, 3], [6, 8], [2, 8]], 20),
        ("rectangle", [[2, 3], [6, 8]], 20),
        ("rectangle", [[2, 3], [6, 3], [6, 8], [2, 8]], 20),
        ("rotation", [[2, 3], [6, 3], [6, 8], [2, 8]], 20),
        ("circle", [[15, 15], [15, 21]], 113),
        ("line", [[5, 10.5], [25, 10.5]], 66),
        ("linestrip", [[5, 10.5], [25, 10.5], [25, 30.5]], 126),
        ("mask", [[4, 5], [6, 7]], 5),
    ],
)
def test_a_shape_marks_what_its_kind_says(native, kind, points, area):
    """A line of 3 px is as long as drawn, with round ends; within the pixels of its edge."""
    shape = {"label": "x", "points": points, "shape_type": kind}
    if kind == "mask":
        shape["mask"] = png(np.uint8([[0, 255, 255], [0, 255, 0], [255, 255, 0]]))
    (native / f"label/{NAMES[2]}.json").write_text(json.dumps({"shapes": [shape]}))

    (drawn,) = labelme.find(native, "all").items[2].outline

    assert draw_outlines((drawn,), (40, 48), 3).sum() == pytest.approx(area, abs=0.06 * area if area > 60 else 0)


def test_a_stamp_is_cut_off_at_the_edge_of_the_image():
    stamp = Stamp(-1, 3, base64.b64decode(png(np.full((4, 4), 255, np.uint8))))

    mask = draw_outlines((stamp,), (5, 6), 3)

    assert np.argwhere(mask).tolist() == [[r, c] for r in (3, 4) for c in (0, 1, 2)]


@pytest.mark.parametrize("ending", [".tif", ".webp", ".jfif", ".PNG", ".gif"])
def test_photographs_of_any_ending_that_is_read_are_listed(native, ending):
    (native / f"data/new{ending}").write_bytes(b"")

    assert f"data/new{ending}" in [item.path for item in labelme.find(native, "all").items]


def test_a_file_with_a_byte_order_mark_is_read_and_its_size_is_kept(native):
    table = {"shapes": [{"label": "x", "points": [[1, 2], [5, 6]], "shape_type": "rectangle"}]}
    content = json.dumps(table | {"imageHeight": 40, "imageWidth": 48})
    (native / f"label/{NAMES[2]}.json").write_text(content, encoding="utf-8-sig")

    assert labelme.find(native, "all").items[2].stated == (40, 48)


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
