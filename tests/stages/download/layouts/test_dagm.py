import pytest

from stages.download.layouts import dagm
from toys.pictures import mark, paint

LABELS = "1\n0001\t0\t0001.PNG\t0\t0\t\n0002\t1\t0002.PNG\t0\t0002_label.PNG\t\n\n"


@pytest.fixture
def native(tmp_path):
    """A miniature of DAGM 2007 as downloaded: in each part a normal and a defective image."""
    for part in ("Train", "Test"):
        home = tmp_path / "Class1" / part
        for i in (1, 2):
            paint(home / f"000{i}.PNG", seed=i + len(part))
        mark(home / "Label/0002_label.PNG")
        (home / "Label/Labels.txt").write_text(LABELS)
    return tmp_path


def test_dagm_is_read_as_downloaded(native, rows):
    listing = dagm.find(native, "Class1")

    assert rows(listing) == [
        ("Test/0001.PNG", "test", 0, "good", None),
        ("Test/0002.PNG", "test", 1, "defect", "Test/Label/0002_label.PNG"),
        ("Train/0001.PNG", "train", 0, "good", None),
    ]
    assert listing.left_out == {"anomalous, in the authors' training part": ("Train/0002.PNG",)}
    assert listing.orphans == ()


def test_without_a_table_the_label_files_count(native, rows):
    before = rows(dagm.find(native, "Class1"))
    for table in native.rglob("Labels.txt"):
        table.unlink()

    assert rows(dagm.find(native, "Class1")) == before


def test_a_label_without_an_image_is_told(native):
    mark(native / "Class1/Test/Label/0009_label.PNG")

    assert dagm.find(native, "Class1").orphans == ("Test/Label/0009_label.PNG",)


def test_a_line_that_cannot_be_read_is_told(native):
    (native / "Class1/Test/Label/Labels.txt").write_text("1\n0001 2 0001.PNG 0 0\n")

    with pytest.raises(ValueError, match=r"Labels.txt, line 2: expected `number 0\|1 image 0 label`"):
        dagm.find(native, "Class1")


def test_an_unknown_class_is_told_with_those_that_are(native):
    with pytest.raises(ValueError, match=r"no category `Class11`.*it holds Class1"):
        dagm.find(native, "Class11")


def test_a_label_of_an_image_that_is_listed_as_normal_is_told(native):
    mark(native / "Class1/Test/Label/0001_label.PNG")

    assert dagm.find(native, "Class1").orphans == ("Test/Label/0001_label.PNG",)


def test_a_line_of_an_image_that_is_not_there_is_refused(native):
    (native / "Class1/Test/0002.PNG").unlink()

    with pytest.raises(ValueError, match=r"Labels\.txt: lines of images or labels that are not there: 0002 with"):
        dagm.find(native, "Class1")


def test_folders_in_small_letters_are_read(native, rows):
    for part in ("Train", "Test"):
        (native / "Class1" / part).rename(native / "Class1" / part.lower())

    assert [row[:3] for row in rows(dagm.find(native, "Class1"))] == [
        ("test/0001.PNG", "test", 0),
        ("test/0002.PNG", "test", 1),
        ("train/0001.PNG", "train", 0),
    ]
