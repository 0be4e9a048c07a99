import pytest

from stages.download.layouts.masks import Masks


def masks(tmp_path, *names):
    folder = tmp_path / "gt"
    return Masks(tmp_path, [(folder, folder / name) for name in names])


@pytest.mark.parametrize("name", ["crack/000.png", "crack/000_mask.png", "crack/mask_000.bmp"])
def test_a_mask_is_found_by_the_name_of_its_image(tmp_path, name):
    assert masks(tmp_path, name).of("crack/000") == (f"gt/{name}", ())


def test_the_very_name_goes_before_one_with_a_word_for_a_mask(tmp_path):
    found = masks(tmp_path, "crack/label_1.png", "crack/1.png")

    assert found.of("crack/label_1").mask == "gt/crack/label_1.png"
    assert found.of("crack/1").mask == "gt/crack/1.png"


def test_a_folder_of_masks_is_joined(tmp_path):
    found = masks(tmp_path, "crack/000/1.png", "crack/000/0.png", "crack/001/0.png")

    assert found.of("crack/000") == ("masks/crack/000.png", ("gt/crack/000/0.png", "gt/crack/000/1.png"))
    assert found.of("crack/002") == (None, ())
