import pytest

from stages.download.layouts import magnetic_tile
from toys.pictures import mark, paint


@pytest.fixture
def native(tmp_path):
    """A miniature of the repository as downloaded: one tile at two exposures, one far off, a crack, an empty mask."""
    names = ["MT_Free/exp1_num_10", "MT_Free/exp2_num_16", "MT_Free/exp1_num_500", "MT_Crack/exp1_num_900"]
    for i, name in enumerate([*names, "MT_Uneven/exp1_num_2000"]):
        folder, stem = name.split("/")
        paint(tmp_path / folder / "Imgs" / f"{stem}.jpg", seed=i)
        mark(tmp_path / folder / "Imgs" / f"{stem}.png", value=255 * (folder == "MT_Crack"))
    return tmp_path


def test_magnetic_tiles_are_read_as_downloaded(native, rows):
    listing = magnetic_tile.find(native, "magnetic_tile")

    assert rows(listing) == [
        ("MT_Crack/Imgs/exp1_num_900.jpg", None, 1, "crack", "MT_Crack/Imgs/exp1_num_900.png"),
        ("MT_Free/Imgs/exp1_num_10.jpg", None, 0, "good", None),
        ("MT_Free/Imgs/exp1_num_500.jpg", None, 0, "good", None),
        ("MT_Free/Imgs/exp2_num_16.jpg", None, 0, "good", None),
    ]
    assert listing.left_out == {"anomalous, but its mask is empty": ("MT_Uneven/Imgs/exp1_num_2000.jpg",)}


def test_exposures_of_one_tile_are_one_object(native):
    groups = [item.group for item in magnetic_tile.find(native, "magnetic_tile").items]

    assert groups == ["tile_900", "tile_10", "tile_500", "tile_10"]


def test_a_run_of_frames_is_one_tile_however_long(tmp_path):
    for frame in range(0, 400, 90):
        paint(tmp_path / f"MT_Free/Imgs/exp1_num_{frame}.jpg", seed=frame)

    assert {item.group for item in magnetic_tile.find(tmp_path, "magnetic_tile").items} == {"tile_0"}


def test_the_layout_of_mvtec_is_read_with_its_groups(tmp_path):
    for frame in (10, 16, 500):
        paint(tmp_path / f"magnetic_tile/train/good/exp1_num_{frame}.jpg", seed=frame)

    groups = [item.group for item in magnetic_tile.find(tmp_path, "magnetic_tile").items]

    assert groups == ["tile_10", "tile_10", "tile_500"]


def test_a_mask_without_a_photograph_is_told(native):
    mark(native / "MT_Crack/Imgs/exp1_num_901.png")

    assert magnetic_tile.find(native, "magnetic_tile").orphans == ("MT_Crack/Imgs/exp1_num_901.png",)


def test_a_name_without_a_frame_is_refused(native):
    paint(native / "MT_Free/Imgs/tile.jpg")

    with pytest.raises(ValueError, match=r"tile.jpg: expected a name like exp1_num_2345"):
        magnetic_tile.find(native, "magnetic_tile")


def test_a_folder_of_something_else_is_refused(tmp_path):
    with pytest.raises(ValueError, match="expected folders MT_Free"):
        magnetic_tile.find(tmp_path, "magnetic_tile")
