import pytest

from stages.download.layouts import yolo
from stages.download.layouts.outlines import draw_outlines
from toys.pictures import paint


@pytest.fixture
def export(tmp_path):
    """A miniature export: a normal image with an empty label, one without any, and a defect."""
    for i, name in enumerate(["train/images/a.png", "train/images/b.png", "valid/images/a.png"]):
        paint(tmp_path / name, seed=i)
    (tmp_path / "data.yaml").write_text("train: train/images\nnames: [dent, crack]\n")
    label(tmp_path / "train/labels/a.txt", "")
    label(tmp_path / "valid/labels/a.txt", "1 0.25 0.25 0.5 0.25 0.5 0.5 0.25 0.5\n0 0.5 0.5 0.25 0.5\n")
    return tmp_path


def label(path, text):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_an_export_is_read_as_downloaded(export, rows):
    listing = yolo.find(export, "all")

    assert rows(listing) == [
        ("train/images/a.png", None, 0, "good", None),
        ("train/images/b.png", None, 0, "good", None),
        ("valid/images/a.png", None, 1, "crack+dent", "masks/valid/images/a.png"),
    ]
    polygon, box = (draw_outlines((shape,), (40, 48), 3) for shape in listing.items[2].outline)
    assert polygon[10:20, 12:24].all()
    assert polygon.sum() == 10 * 12
    assert box[10:30, 18:30].all()
    assert box.sum() == 20 * 12


def test_labels_in_a_folder_of_their_own_and_beside_the_image_are_found(tmp_path):
    for i, name in enumerate(["images/train/a.png", "b.png"]):
        paint(tmp_path / name, seed=i)
    label(tmp_path / "labels/train/a.txt", "0 0.5 0.5 0.2 0.2")
    label(tmp_path / "b.txt", "0 0.5 0.5 0.2 0.2")

    assert [(item.label, item.defect) for item in yolo.find(tmp_path, "all").items] == [(1, "anomaly")] * 2


def test_a_label_without_an_image_is_told(export):
    label(export / "train/labels/gone.txt", "0 0.5 0.5 0.2 0.2")

    assert yolo.find(export, "all").orphans == ("train/labels/gone.txt",)


@pytest.mark.parametrize(
    "line",
    ["0 0.5 0.5 0.2", "9 0.5 0.5 0.2 0.2", "0 0.5 0.5 -0.2 0.2", "x 0.5 0.5 0.2 0.2", "0 12 5 3 3", "0 nan 0 1 1"],
)
def test_a_line_that_cannot_be_read_is_told(export, line):
    label(export / "train/labels/b.txt", f"\n{line}\n")

    with pytest.raises(ValueError, match=r"b\.txt, line 2: expected a class and shares of the sides"):
        yolo.find(export, "all")


def test_a_folder_without_labels_is_refused(tmp_path):
    paint(tmp_path / "images/a.png")

    with pytest.raises(ValueError, match=r"no category `all` \(expected images and labels"):
        yolo.find(tmp_path, "all")


def test_the_label_of_an_image_whose_name_is_that_of_a_list_is_read(tmp_path):
    paint(tmp_path / "images/train.png")
    paint(tmp_path / "images/a.png", seed=1)
    label(tmp_path / "labels/train.txt", "0 0.5 0.5 0.2 0.2")
    label(tmp_path / "labels/a.txt", "")

    assert [(i.path, i.label) for i in yolo.find(tmp_path, "all").items] == [
        ("images/a.png", 0),
        ("images/train.png", 1),
    ]


@pytest.mark.parametrize("names", ["scratch", "3", "{a: dent}"])
def test_classes_that_are_no_list_are_refused(export, names):
    (export / "data.yaml").write_text(f"names: {names}\n")

    with pytest.raises(ValueError, match=r"data\.yaml: expected .* below `names`"):
        yolo.find(export, "all")
