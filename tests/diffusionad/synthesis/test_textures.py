import numpy as np
import pytest
from PIL import Image

from diffusionad.synthesis.textures import Textures


@pytest.fixture
def folder(tmp_path):
    """A DTD in small: two classes, five flat colours of 40 x 30 px."""
    for i, name in enumerate(["banded/a", "banded/b", "dotted/c", "dotted/d", "dotted/e"]):
        path = tmp_path / "images" / f"{name}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (40, 30), (50 * i, 128, 20)).save(path)
    return tmp_path


def from_folder(config, folder, count):
    return Textures(config.textures.model_copy(update={"folder": str(folder), "count": count}), (16, 24))


def levels(bank):
    return {round(float(bank.draw(np.random.default_rng(s))[..., 0].mean() * 255 / 50)) for s in range(60)}


def test_a_texture_has_the_size_of_the_bank(config, folder, rng):
    for bank in (Textures(config.textures, (16, 24)), from_folder(config, folder, 9)):
        texture = bank.draw(rng)
        assert texture.shape == (16, 24, 3)
        assert texture.dtype == np.float32
        assert texture.min() >= 0
        assert texture.max() <= 1


def test_a_folder_gives_its_own_images(config, folder):
    assert levels(from_folder(config, folder, 9)) == {0, 1, 2, 3, 4}


def test_of_a_large_folder_evenly_spread_images_are_held(config, folder):
    bank = from_folder(config, folder, 3)

    assert len(bank) == 3
    assert levels(bank) == {0, 2, 4}


def test_the_drawn_bank_depends_on_its_seed_alone(config):
    def bank(seed):
        return Textures(config.textures.model_copy(update={"seed": seed}), (16, 16)).draw(np.random.default_rng(1))

    np.testing.assert_array_equal(bank(0), bank(0))
    assert not np.array_equal(bank(0), bank(1))


def test_a_larger_bank_begins_with_the_smaller_one(config):
    small, large = (Textures(config.textures.model_copy(update={"count": n}), (8, 8)) for n in (2, 5))

    held = {large.draw(np.random.default_rng(s)).tobytes() for s in range(200)}

    assert len(small) == 2
    assert {small.draw(np.random.default_rng(s)).tobytes() for s in range(30)} <= held


def test_a_folder_without_textures_is_refused(config, tmp_path):
    with pytest.raises(ValueError, match=r"no texture; expected images/CLASS/\*\.jpg"):
        from_folder(config, tmp_path, 3)


def test_a_file_that_is_no_image_is_named(config, folder):
    (folder / "images" / "banded" / "a.jpg").write_bytes(b"not a photograph")

    with pytest.raises(ValueError, match=r"a\.jpg: not a readable image"):
        from_folder(config, folder, 9)
