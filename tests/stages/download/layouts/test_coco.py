import json

import numpy as np
import pytest

from stages.download.layouts import coco
from stages.download.layouts.outlines import Polygon, draw_outlines
from stages.download.layouts.run_lengths import read_runs
from toys.pictures import paint

SQUARE = [4, 5, 8, 5, 8, 9, 4, 9]


def export(folder, annotations, name="train/_annotations.coco.json"):
    table = {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
        "categories": [{"id": 7, "name": "dent"}, {"id": 8, "name": "crack"}],
        "annotations": annotations,
    }
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(table))


def test_an_export_is_read_as_downloaded(tmp_path, rows):
    for i, name in enumerate(["a.jpg", "b.jpg"]):
        paint(tmp_path / "train" / name, seed=i)
    export(tmp_path, [{"image_id": 2, "category_id": 7, "segmentation": [SQUARE]}])

    listing = coco.find(tmp_path, "all")

    assert rows(listing) == [
        ("train/a.jpg", None, 0, "good", None),
        ("train/b.jpg", None, 1, "dent", "masks/train/b.png"),
    ]
    assert listing.items[1].outline == (Polygon(((4, 5), (8, 5), (8, 9), (4, 9))),)


def test_images_beside_the_annotations_are_found(tmp_path):
    paint(tmp_path / "images/a.jpg")
    paint(tmp_path / "images/b.jpg", seed=1)
    export(tmp_path, [], "annotations/instances.json")

    assert [item.path for item in coco.find(tmp_path, "all").items] == ["images/a.jpg", "images/b.jpg"]


def test_a_box_stands_in_for_a_polygon_and_defects_are_joined(tmp_path):
    boxes = [{"image_id": 1, "category_id": c, "bbox": [2, 3, 4, 5]} for c in (7, 8)]
    export(tmp_path, boxes)

    item = coco.find(tmp_path, "all").items[0]

    assert item.defect == "crack+dent"
    assert item.outline[0].corners == ((2, 3), (6, 3), (6, 8), (2, 8))


RUNS = {"size": [3, 4], "counts": [1, 4, 1, 2, 4]}  # down the columns: pixels 1 to 4, and 6 and 7


@pytest.mark.parametrize("coded", [RUNS, RUNS | {"counts": "141N3"}])
def test_run_lengths_are_drawn_pixel_by_pixel(tmp_path, coded):
    export(tmp_path, [{"image_id": 1, "category_id": 7, "segmentation": coded}])

    mask = draw_outlines(coco.find(tmp_path, "all").items[0].outline, (3, 4), 3)

    assert mask.T.ravel().astype(int).tolist() == [0, 1, 1, 1, 1, 0, 1, 1, 0, 0, 0, 0]


def test_run_lengths_of_pycocotools_are_read():
    """`pycocotools.mask.encode` wrote the text for a rectangle of 40 x 30 pixels, 300 down and 100 across."""
    coded = {"size": [349, 133], "counts": r"P\R1X1e9000000000000000000000000000000000000000000000000000000000[g0"}

    mask = draw_outlines((read_runs(coded),), (349, 133), 3)

    assert mask[300:340, 100:130].all()
    assert np.count_nonzero(mask) == 40 * 30


def test_images_outside_are_refused(tmp_path):
    paint(tmp_path / "a.jpg")
    (tmp_path / "nut").mkdir()
    table = {"images": [{"id": 1, "file_name": "../a.jpg"}], "annotations": []}
    (tmp_path / "nut/t.json").write_text(json.dumps(table))

    with pytest.raises(ValueError, match="expected image files below"):
        coco.find(tmp_path, "nut")


def test_a_folder_without_annotations_or_with_broken_ones_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no category `all` \(expected \.json annotations"):
        coco.find(tmp_path, "all")
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ValueError, match=r"x\.json: not valid JSON"):
        coco.find(tmp_path, "all")


def test_a_json_of_another_kind_is_no_export(tmp_path):
    (tmp_path / "x.json").write_text("{}")

    with pytest.raises(ValueError, match=r"expected a \.json with the keys images, annotations"):
        coco.find(tmp_path, "all")


@pytest.mark.parametrize(
    ("segmentation", "told"),
    [
        ({"size": [3, 4], "counts": [1, 4]}, "runs of 5 pixels for an image of 4 x 3"),
        ({"size": [3, 4], "counts": "14Q"}, "the run lengths break off"),
        ({"size": [3, 4]}, "counts"),
        ([[1, 2, 3]], "zip"),
    ],
)
def test_an_annotation_that_cannot_be_read_is_named(tmp_path, segmentation, told):
    export(tmp_path, [{"id": 3, "image_id": 1, "segmentation": segmentation}])

    with pytest.raises(ValueError, match=rf"coco\.json: annotation 3 cannot be read: .*{told}"):
        coco.find(tmp_path, "all")


def test_run_lengths_of_another_size_than_their_image_are_refused(tmp_path):
    image = {"id": 1, "file_name": "a.jpg", "height": 4, "width": 3}
    table = {"images": [image], "annotations": [{"image_id": 1, "segmentation": RUNS}]}
    (tmp_path / "t.json").write_text(json.dumps(table))

    with pytest.raises(ValueError, match=r"its mask is of \[3, 4\] pixels, the image of \[4, 3\]"):
        coco.find(tmp_path, "all")


def test_a_misspelt_category_is_told_which_there_are(tmp_path):
    for name in ("nut", "bolt"):
        export(tmp_path / name, [])

    with pytest.raises(ValueError, match=r"no category `nutt` .*; it holds all, bolt, nut$"):
        coco.find(tmp_path, "nutt")


@pytest.mark.parametrize(
    ("annotation", "told"),
    [
        ({"id": 5, "image_id": "1", "category_id": 7}, "annotation 5 is of image_id '1'"),
        ({"id": 5, "image_id": 9, "category_id": 7}, "annotation 5 is of image_id 9"),
        ({"id": 5, "category_id": 7}, "annotation 5 is of image_id None"),
        ({"id": 5, "image_id": True, "category_id": 7}, "annotation 5 is of image_id True"),
        ({"id": 5, "image_id": 1, "category_id": 70}, "annotation 5 is of category_id 70"),
        ({"image_id": [1], "category_id": 7}, r"annotation number 0 is of image_id \[1\]"),
    ],
)
def test_an_annotation_of_nothing_is_refused_by_name(tmp_path, annotation, told):
    """Otherwise its photograph would be one of the normal ones."""
    export(tmp_path, [annotation | {"bbox": [1, 1, 3, 3]}])

    with pytest.raises(ValueError, match=rf"coco\.json: annotations of images or categories .*: {told}$"):
        coco.find(tmp_path, "all")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"images": {}}, "expected a list of records below `images`"),
        ({"annotations": [3]}, "expected a list of records below `annotations`"),
        ({"images": [{"id": 1}]}, "expected an id and a name in each record of `images`"),
        ({"images": [{"id": 1, "file_name": "a.jpg"}] * 2}, "the id 1 stands twice in `images`"),
        ({"categories": [{"id": 7}]}, "expected an id and a name in each record of `categories`"),
    ],
)
def test_a_table_of_another_form_is_refused(tmp_path, changes, told):
    table = {"images": [], "annotations": [], "categories": []}
    (tmp_path / "t.json").write_text(json.dumps(table | changes))

    with pytest.raises(ValueError, match=rf"t\.json: {told}"):
        coco.find(tmp_path, "all")


def name_of(folder, file_name, on_disk, table="annotations/instances_default.json"):
    """The file that is found for a name in an export."""
    for i, name in enumerate(on_disk):
        paint(folder / name, seed=i)
    (folder / table).parent.mkdir(parents=True, exist_ok=True)
    images = [{"id": 1, "file_name": file_name}]
    (folder / table).write_text(json.dumps({"images": images, "annotations": []}), encoding="utf-8-sig")
    return coco.find(folder, "all").items[0].path


@pytest.mark.parametrize(
    ("file_name", "on_disk"),
    [
        ("0.png", "images/default/0.png"),  # CVAT, Datumaro
        ("images\\3f2a7b1c-0.png", "images/3f2a7b1c-0.png"),  # Label Studio on Windows
        ("C:\\label\\media\\upload\\1\\3f2a7b1c-0.png", "images/0.png"),
        ("../../label-studio/data/media/upload/1/3f2a7b1c-0.png", "photos/0.png"),
        ("part%20one/0.png", "images/part one/0.png"),
        ("/data/upload/0.png", "photos/0.png"),
        ("0.png", "photos/deep/0.png"),
    ],
)
def test_images_are_found_under_the_names_that_tools_give_them(tmp_path, file_name, on_disk):
    assert name_of(tmp_path, file_name, [on_disk, "images/other.png"]) == on_disk


def test_each_subset_has_its_own_image_of_a_name(tmp_path):
    for subset in ("train", "val"):
        paint(tmp_path / f"images/{subset}/0.png", seed=len(subset))
        table = {"images": [{"id": 1, "file_name": "0.png"}], "annotations": []}
        (tmp_path / "annotations").mkdir(exist_ok=True)
        (tmp_path / f"annotations/instances_{subset}.json").write_text(json.dumps(table))

    assert [item.path for item in coco.find(tmp_path, "all").items] == ["images/train/0.png", "images/val/0.png"]


def test_a_name_that_may_be_of_two_images_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"the image '0\.png' may be a/0\.png or b/0\.png; name the folder too"):
        name_of(tmp_path, "0.png", ["a/0.png", "b/0.png"])


def test_an_image_that_is_elsewhere_is_not_taken_for_the_one_that_is_named(tmp_path):
    assert name_of(tmp_path, "train/0.png", ["test/0.png"]) == "train/0.png"


def test_the_size_that_an_export_states_is_kept(tmp_path):
    paint(tmp_path / "a.png")
    images = [{"id": 1, "file_name": "a.png", "height": 80, "width": 96}]
    (tmp_path / "t.json").write_text(json.dumps({"images": images, "annotations": []}))

    assert coco.find(tmp_path, "all").items[0].stated == (80, 96)
