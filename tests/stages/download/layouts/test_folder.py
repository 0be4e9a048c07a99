import pytest

from stages.download.layouts import folder
from toys.pictures import mark, paint


@pytest.fixture
def mvtec(tmp_path):
    """A miniature of MVTec AD as downloaded."""
    home = tmp_path / "bottle"
    for i, name in enumerate(["train/good/000.png", "train/good/001.png", "test/good/000.png", "test/crack/000.png"]):
        paint(home / name, seed=i)
    mark(home / "ground_truth/crack/000_mask.png")
    (home / "license.txt").write_text("CC BY-NC-SA 4.0")
    (tmp_path / "readme.txt").write_text("MVTec AD")
    return tmp_path


def test_mvtec_ad_is_read_as_downloaded(mvtec, rows):
    listing = folder.find(mvtec, "bottle")

    assert rows(listing) == [
        ("test/crack/000.png", "test", 1, "crack", "ground_truth/crack/000_mask.png"),
        ("test/good/000.png", "test", 0, "good", None),
        ("train/good/000.png", "train", 0, "good", None),
        ("train/good/001.png", "train", 0, "good", None),
    ]
    assert (listing.home, listing.left_out, listing.orphans) == (mvtec / "bottle", {}, ())


def test_a_folder_of_ones_own_needs_no_folder_for_the_category(mvtec, rows):
    assert rows(folder.find(mvtec / "bottle", "anything")) == rows(folder.find(mvtec, "bottle"))


@pytest.mark.parametrize("name", ["000.png", "000_mask.PNG", "000_label.bmp", "mask_000.png", "000-segmentation.png"])
def test_masks_are_found_under_the_names_that_are_about(mvtec, name):
    (mvtec / "bottle/ground_truth/crack/000_mask.png").unlink()
    mark(mvtec / "bottle/ground_truth/crack" / name)

    assert folder.find(mvtec, "bottle").items[0].mask == f"ground_truth/crack/{name}"


def test_a_folder_for_validation_is_taken(mvtec, rows):
    paint(mvtec / "bottle/validation/good/7.png")

    assert ("validation/good/7.png", "val", 0, "good", None) in rows(folder.find(mvtec, "bottle"))


def test_a_mask_without_an_image_is_told(mvtec):
    mark(mvtec / "bottle/ground_truth/crack/001_mask.png")

    assert folder.find(mvtec, "bottle").orphans == ("ground_truth/crack/001_mask.png",)


def test_a_mask_for_a_normal_image_goes_with_it(mvtec):
    mark(mvtec / "bottle/ground_truth/good/000_mask.png")

    assert folder.find(mvtec, "bottle").items[1].mask == "ground_truth/good/000_mask.png"


def test_a_stray_text_is_listed_and_junk_is_not(mvtec):
    for name in ("notes.txt", "Thumbs.db", ".DS_Store"):
        (mvtec / "bottle/train/good" / name).write_text("x")

    assert [i.path for i in folder.find(mvtec, "bottle").items if "train" in i.path][-1] == "train/good/notes.txt"
    assert len(folder.find(mvtec, "bottle").items) == 5


def test_groups_come_from_the_names_when_asked(mvtec):
    listing = folder.find(mvtec, "bottle", group_of=lambda stem: stem[:2])

    assert {item.group for item in listing.items} == {"00"}


def test_a_category_that_is_not_there_is_told_with_those_that_are(mvtec):
    with pytest.raises(ValueError, match=r"no category `botle` \(expected botle/train\); it holds bottle"):
        folder.find(mvtec, "botle")


def test_an_image_beside_the_folders_is_refused(mvtec):
    paint(mvtec / "bottle/train/5.png")

    with pytest.raises(ValueError, match=r"5.png: expected it in a folder named good or by its defect"):
        folder.find(mvtec, "bottle")


def test_the_words_of_factories_are_known(tmp_path, rows):
    """Folders OK and NG; without them known, a test part has no normal image and a training part defects."""
    home = tmp_path / "screw"
    for i, name in enumerate(["Train/OK/0.png", "Test/OK/0.png", "Test/NG/0.png", "Test/ok/1.png"]):
        paint(home / name, seed=i)
    mark(home / "Ground_Truth/NG/mask_0.png")

    assert rows(folder.find(tmp_path, "screw")) == [
        ("Test/NG/0.png", "test", 1, "NG", "Ground_Truth/NG/mask_0.png"),
        ("Test/OK/0.png", "test", 0, "good", None),
        ("Test/ok/1.png", "test", 0, "good", None),
        ("Train/OK/0.png", "train", 0, "good", None),
    ]


def test_mvtec_loco_has_a_folder_of_masks_for_each_image(tmp_path, rows):
    home = tmp_path / "box"
    for i, name in enumerate(["train/good/0.png", "validation/good/0.png", "test/logical_anomalies/0.png"]):
        paint(home / name, seed=i)
    for i in range(2):
        mark(home / f"ground_truth/logical_anomalies/0/00{i}.png")

    listing = folder.find(tmp_path, "box")

    parts = tuple(f"ground_truth/logical_anomalies/0/00{i}.png" for i in range(2))
    assert rows(listing) == [
        ("test/logical_anomalies/0.png", "test", 1, "logical_anomalies", "masks/logical_anomalies/0.png"),
        ("train/good/0.png", "train", 0, "good", None),
        ("validation/good/0.png", "val", 0, "good", None),
    ]
    assert (listing.items[0].parts, listing.orphans) == (parts, ())


def test_mvtec_ad_2_has_a_public_test_part_with_masks_inside(tmp_path, rows):
    home = tmp_path / "can"
    names = ["train/good/0.png", "validation/good/0.png", "test_public/good/0.png", "test_public/bad/0.png"]
    for i, name in enumerate([*names, "test_private/0.png", "test_private_mixed/0.png"]):
        paint(home / name, seed=i)
    mark(home / "test_public/ground_truth/bad/0_mask.png")

    listing = folder.find(tmp_path, "can")

    assert rows(listing)[:2] == [
        ("test_public/bad/0.png", "test", 1, "bad", "test_public/ground_truth/bad/0_mask.png"),
        ("test_public/good/0.png", "test", 0, "good", None),
    ]
    private = ("test_private/0.png", "test_private_mixed/0.png")
    assert listing.left_out == {"in a test part without labels": private}


def test_notebooks_leave_no_defects_behind(mvtec):
    for part in ("train", "test"):
        paint(mvtec / f"bottle/{part}/.ipynb_checkpoints/000-checkpoint.png")
        paint(mvtec / f"bottle/{part}/good/.ipynb_checkpoints/000-checkpoint.png")

    assert len(folder.find(mvtec, "bottle").items) == 4


def test_a_defect_behind_a_link_is_there(mvtec):
    paint(mvtec / "elsewhere/0.png")
    (mvtec / "bottle/test/dent").symlink_to(mvtec / "elsewhere")

    assert "test/dent/0.png" in [item.path for item in folder.find(mvtec, "bottle").items]


def test_a_defect_may_be_called_mask(mvtec):
    paint(mvtec / "bottle/test/mask/000.png")

    assert ("test/mask/000.png", "mask") in [(i.path, i.defect) for i in folder.find(mvtec, "bottle").items]
