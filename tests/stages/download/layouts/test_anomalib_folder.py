import pytest

from stages.download.layouts import anomalib_folder
from toys.pictures import mark, paint


@pytest.fixture
def toy(tmp_path):
    """A miniature of the hazelnut set that anomalib's guides use."""
    for i, name in enumerate(["good/00.jpg", "good/01.jpg", "colour/00.jpg", "crack/01.jpg"]):
        paint(tmp_path / "nut" / name, seed=i)
    mark(tmp_path / "nut/mask/colour/00.jpg")
    mark(tmp_path / "nut/mask/crack/01_mask.png")
    return tmp_path


def test_a_folder_for_anomalib_is_read_as_it_is(toy, rows):
    assert rows(anomalib_folder.find(toy, "nut")) == [
        ("colour/00.jpg", None, 1, "colour", "mask/colour/00.jpg"),
        ("crack/01.jpg", None, 1, "crack", "mask/crack/01_mask.png"),
        ("good/00.jpg", None, 0, "good", None),
        ("good/01.jpg", None, 0, "good", None),
    ]


def test_a_folder_of_normal_test_images_makes_a_split(toy, rows):
    paint(toy / "nut/normal_test/02.jpg")

    found = {path: split for path, split, *_ in rows(anomalib_folder.find(toy, "nut"))}

    assert found == {
        "colour/00.jpg": "test",
        "crack/01.jpg": "test",
        "good/00.jpg": "train",
        "good/01.jpg": "train",
        "normal_test/02.jpg": "test",
    }


def test_masks_may_lie_in_one_folder_and_orphans_are_told(tmp_path):
    paint(tmp_path / "normal/0.png")
    paint(tmp_path / "abnormal/1.png", seed=1)
    mark(tmp_path / "ground_truth/1.png")
    mark(tmp_path / "ground_truth/2.png")

    listing = anomalib_folder.find(tmp_path, "nut")

    assert listing.items[0].mask == "ground_truth/1.png"
    assert listing.orphans == ("ground_truth/2.png",)


def test_a_folder_without_normal_images_is_refused(tmp_path):
    paint(tmp_path / "crack/0.png")

    with pytest.raises(ValueError, match="expected a folder good or normal; it holds crack"):
        anomalib_folder.find(tmp_path, "nut")
