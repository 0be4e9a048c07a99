import pytest

from stages.download.layouts import voc
from toys.pictures import mark, paint

OBJECT = "<object><name>{}</name><bndbox><xmin>3</xmin><ymin>2</ymin><xmax>6</xmax><ymax>9</ymax></bndbox></object>"


def annotate(path, *defects):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"<annotation>{''.join(OBJECT.format(defect) for defect in defects)}</annotation>")


@pytest.fixture
def native(tmp_path):
    """A miniature export: a normal image, a dent by its box, a crack with its mask, and their parts."""
    for i, name in enumerate("abc"):
        paint(tmp_path / f"JPEGImages/{name}.jpg", seed=i)
    annotate(tmp_path / "Annotations/a.xml")
    annotate(tmp_path / "Annotations/b.xml", "dent", "dent")
    annotate(tmp_path / "Annotations/c.xml", "crack")
    mark(tmp_path / "SegmentationClass/c.png", value=1)
    mark(tmp_path / "SegmentationObject/c.png", value=1)
    return tmp_path


def test_an_export_is_read_as_it_is(native, rows):
    listing = voc.find(native, "all")

    assert rows(listing) == [
        ("JPEGImages/a.jpg", None, 0, "good", None),
        ("JPEGImages/b.jpg", None, 1, "dent", "masks/JPEGImages/b.png"),
        ("JPEGImages/c.jpg", None, 1, "crack", "SegmentationClass/c.png"),
    ]
    assert listing.items[1].outline[0].corners == ((2, 1), (6, 1), (6, 9), (2, 9))
    assert listing.items[2].outline == ()
    assert listing.orphans == ()


def test_annotations_beside_their_images_are_found(tmp_path, rows):
    for part, defect in (("train", ()), ("valid", ("dent",))):
        paint(tmp_path / part / "a.jpg", seed=len(defect))
        annotate(tmp_path / part / "a.xml", *defect)

    assert [row[:3] for row in rows(voc.find(tmp_path, "all"))] == [
        ("train/a.jpg", None, 0),
        ("valid/a.jpg", None, 1),
    ]


def test_an_empty_mask_of_a_normal_image_is_none_and_another_is_told(native, rows):
    mark(native / "SegmentationClass/a.png", value=0)
    assert rows(voc.find(native, "all"))[0] == ("JPEGImages/a.jpg", None, 0, "good", None)
    assert voc.find(native, "all").orphans == ()

    mark(native / "SegmentationClass/a.png", value=1)
    assert rows(voc.find(native, "all"))[0][4] == "SegmentationClass/a.png"


def test_annotations_and_masks_without_an_image_are_told(native):
    (native / "JPEGImages/c.jpg").unlink()

    assert voc.find(native, "all").orphans == ("Annotations/c.xml", "SegmentationClass/c.png")


@pytest.mark.parametrize(
    "content",
    [
        "<annotation>",
        "<annotation><object><name>x</name></object></annotation>",
        OBJECT.format("x").replace("3", "three").join(["<annotation>", "</annotation>"]),
    ],
)
def test_an_annotation_that_cannot_be_read_is_named(native, content):
    (native / "Annotations/b.xml").write_text(content)

    with pytest.raises(ValueError, match=r"b\.xml: not an annotation of Pascal VOC: "):
        voc.find(native, "all")


def test_a_misspelt_category_is_told_which_there_are(native):
    native.rename(native.with_name("nut"))

    with pytest.raises(ValueError, match=r"no category `nutt` .*it holds all, .*nut"):
        voc.find(native.parent, "nutt")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (OBJECT.format(""), "an object without a name"),
        ("<object><name>x</name></object>", "an object without its bndbox"),
        (OBJECT.format("x").replace(">3<", ">nan<"), "marks no area"),
        (OBJECT.format("x").replace(">3<", ">30<"), "marks no area"),
        (OBJECT.format("x").replace(">3<", ">three<"), "could not convert"),
    ],
)
def test_an_object_that_marks_nothing_is_refused(native, content, told):
    (native / "Annotations/b.xml").write_text(f"<annotation>{content}</annotation>")

    with pytest.raises(ValueError, match=rf"b\.xml: not an annotation of Pascal VOC: .*{told}"):
        voc.find(native, "all")


def test_the_size_that_an_annotation_states_is_kept_and_zero_states_none(native):
    size = "<size><width>{}</width><height>{}</height></size>"
    for name, sides in (("a", (48, 40)), ("b", (0, 0))):
        content = OBJECT.format("x") if name == "b" else ""
        (native / f"Annotations/{name}.xml").write_text(f"<annotation>{size.format(*sides)}{content}</annotation>")

    assert [item.stated for item in voc.find(native, "all").items] == [(40, 48), None, None]


def test_photographs_of_any_ending_that_is_read_are_listed(native):
    paint(native / "JPEGImages/d.tif")

    assert voc.find(native, "all").items[-1].path == "JPEGImages/d.tif"
