import pytest

from stages.download.layouts import elpv

LABELS = """\
images/cell0001.png  1.0                 mono
images/cell0002.png  0.0                 mono
images/cell0003.png  0.3333333333333333  mono
images/cell1735.png  0.0                 poly
images/cell2277.png  0.0                 poly
"""


@pytest.fixture
def package(tmp_path):
    """The folder `data` of the package; nothing but the table is read."""
    (tmp_path / "labels.csv").write_text(LABELS)
    return tmp_path


def test_elpv_is_read_as_packaged(package, rows):
    listing = elpv.find(package, "mono")

    assert rows(listing) == [
        ("images/cell0001.png", None, 1, "defective", None),
        ("images/cell0002.png", None, 0, "good", None),
    ]
    assert listing.left_out == {"uncertain (probability 1/3 or 2/3)": ("images/cell0003.png",)}


def test_a_cell_that_was_photographed_twice_is_one_object(package):
    assert [item.group for item in elpv.find(package, "poly").items] == ["cell1735", "cell1735"]


def test_an_unknown_type_is_told_with_those_that_are(package):
    with pytest.raises(ValueError, match="no category `thin`; it holds mono, poly"):
        elpv.find(package, "thin")


def test_a_line_that_cannot_be_read_is_told(package):
    (package / "labels.csv").write_text("images/cell0001.png mono\n")

    with pytest.raises(ValueError, match=r"labels.csv, line 1: expected `path probability type`"):
        elpv.find(package, "mono")


def test_a_missing_table_is_told(tmp_path):
    with pytest.raises(ValueError, match=r"labels.csv: not found"):
        elpv.find(tmp_path, "mono")
