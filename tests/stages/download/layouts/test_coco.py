import json

import numpy as np
import pytest

from stages.download.layouts import coco
from stages.download.layouts.outlines import draw_outlines
from stages.download.layouts.run_lengths import run_outlines
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
    assert listing.items[1].outline == (((4, 5), (8, 5), (8, 9), (4, 9)),)


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
    assert item.outline[0] == ((2, 3), (5, 3), (5, 7), (2, 7))


RUNS = {"size": [3, 4], "counts": [1, 4, 1, 2, 4]}  # down the columns: pixels 1 to 4, and 6 and 7


@pytest.mark.parametrize("coded", [RUNS, RUNS | {"counts": "141N3"}])
def test_run_lengths_are_drawn_pixel_by_pixel(tmp_path, coded):
    export(tmp_path, [{"image_id": 1, "category_id": 7, "segmentation": coded}])

    mask = np.asarray(draw_outlines(coco.find(tmp_path, "all").items[0].outline, (3, 4))) > 0

    assert mask.T.ravel().astype(int).tolist() == [0, 1, 1, 1, 1, 0, 1, 1, 0, 0, 0, 0]


def test_run_lengths_of_pycocotools_are_read():
    """`pycocotools.mask.encode` wrote the text for a rectangle of 40 x 30 pixels, 300 down and 100 across."""
    coded = {"size": [349, 133], "counts": r"P\R1X1e9000000000000000000000000000000000000000000000000000000000[g0"}

    mask = draw_outlines(tuple(run_outlines(coded)), (349, 133))

    assert mask.getbbox() == (100, 300, 130, 340)
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
