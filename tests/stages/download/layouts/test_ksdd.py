import pytest

from stages.download.layouts import ksdd
from toys.pictures import mark, paint


@pytest.fixture
def native(tmp_path):
    """A miniature of KolektorSDD as downloaded: two commutators of two parts, a crack (label 1) in the second."""
    for i, (item, part, value) in enumerate([("01", 0, 0), ("01", 1, 0), ("02", 0, 0), ("02", 1, 1)]):
        paint(tmp_path / f"kos{item}/Part{part}.jpg", seed=i)
        mark(tmp_path / f"kos{item}/Part{part}_label.bmp", value=value)
    return tmp_path


def test_kolektorsdd_is_read_as_downloaded(native, rows):
    listing = ksdd.find(native, "commutator")

    assert rows(listing) == [
        ("kos01/Part0.jpg", None, 0, "good", None),
        ("kos01/Part1.jpg", None, 0, "good", None),
        ("kos02/Part0.jpg", None, 0, "good", None),
        ("kos02/Part1.jpg", None, 1, "defect", "kos02/Part1_label.bmp"),
    ]
    assert [item.group for item in listing.items] == ["kos01", "kos01", "kos02", "kos02"]


def test_an_item_inside_an_item_is_left_out_and_counted(native):
    paint(native / "kos01/kos08/Part0.jpg")

    assert ksdd.find(native, "commutator").left_out == {"in a folder inside an item": ("kos01/kos08/Part0.jpg",)}


def test_a_part_without_a_label_is_refused(native):
    (native / "kos01/Part0_label.bmp").unlink()

    with pytest.raises(ValueError, match=r"Part0.jpg: no label beside it"):
        ksdd.find(native, "commutator")


def test_the_layout_of_mvtec_is_read_with_its_groups(tmp_path):
    paint(tmp_path / "commutator/train/good/kos14_Part6.jpg")

    assert ksdd.find(tmp_path, "commutator").items[0].group == "kos14"


@pytest.mark.parametrize("category", ["kos01", "commutators"])
def test_another_category_is_refused(native, category):
    with pytest.raises(ValueError, match="of the one category `commutator`"):
        ksdd.find(native, category)
