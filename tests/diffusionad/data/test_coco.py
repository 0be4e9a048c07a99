import json

import pytest

from diffusionad.data import coco

SQUARE = [4, 5, 8, 5, 8, 9, 4, 9]


def export(folder, annotations, name="train/_annotations.coco.json"):
    table = {
        "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
        "categories": [{"id": 7, "name": "dent"}, {"id": 8, "name": "crack"}],
        "annotations": annotations,
    }
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(table))


def test_an_export_is_read_as_downloaded(tmp_path, paint, rows):
    for i, name in enumerate(["a.jpg", "b.jpg"]):
        paint(tmp_path / "train" / name, seed=i)
    export(tmp_path, [{"image_id": 2, "category_id": 7, "segmentation": [SQUARE]}])

    listing = coco.find(tmp_path, "nut")

    assert rows(listing) == [
        ("train/a.jpg", None, 0, "good", None),
        ("train/b.jpg", None, 1, "dent", "masks/train/b.png"),
    ]
    assert listing.items[1].outline == (((4, 5), (8, 5), (8, 9), (4, 9)),)


def test_images_beside_the_annotations_are_found(tmp_path, paint):
    paint(tmp_path / "images/a.jpg")
    paint(tmp_path / "images/b.jpg", seed=1)
    export(tmp_path, [], "annotations/instances.json")

    assert [item.path for item in coco.find(tmp_path, "nut").items] == ["images/a.jpg", "images/b.jpg"]


def test_a_box_stands_in_for_a_polygon_and_defects_are_joined(tmp_path):
    boxes = [{"image_id": 1, "category_id": c, "bbox": [2, 3, 4, 5]} for c in (7, 8)]
    export(tmp_path, boxes)

    item = coco.find(tmp_path, "nut").items[0]

    assert item.defect == "crack+dent"
    assert item.outline[0] == ((2, 3), (5, 3), (5, 7), (2, 7))


def test_run_lengths_are_refused(tmp_path):
    export(tmp_path, [{"id": 3, "image_id": 1, "segmentation": {"counts": "abc", "size": [4, 4]}}])

    with pytest.raises(ValueError, match="annotation 3 is run-length coded; export polygons instead"):
        coco.find(tmp_path, "nut")


def test_images_outside_are_refused(tmp_path, paint):
    paint(tmp_path / "a.jpg")
    (tmp_path / "nut").mkdir()
    table = {"images": [{"id": 1, "file_name": "../a.jpg"}], "annotations": []}
    (tmp_path / "nut/t.json").write_text(json.dumps(table))

    with pytest.raises(ValueError, match="expected image files below"):
        coco.find(tmp_path, "nut")


def test_a_folder_without_annotations_or_with_broken_ones_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"expected a .json with the keys"):
        coco.find(tmp_path, "nut")
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ValueError, match=r"x\.json: not valid JSON"):
        coco.find(tmp_path, "nut")
