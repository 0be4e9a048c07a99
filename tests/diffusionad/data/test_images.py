import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from diffusionad.data.decode import open_image
from diffusionad.data.images import MAX_ENLARGEMENT, fit_photograph, read_image, read_mask, resize_image
from toys.pictures import mark, paint

SIZES = st.tuples(st.integers(1, 30), st.integers(1, 30))


@given(SIZES, SIZES, st.floats(0, 1, width=32))
@settings(max_examples=60)
def test_a_constant_image_stays_constant(old, new, value):
    image = np.full((*old, 3), value, np.float32)

    np.testing.assert_allclose(resize_image(image, new), np.full((*new, 3), value), atol=1e-5)


@given(
    st.tuples(st.integers(1, 80), st.integers(1, 80)),
    st.tuples(st.integers(1, 300), st.integers(1, 300)),
    st.booleans(),
)
@settings(max_examples=60)
def test_a_photograph_is_judged_unless_a_side_is_a_speck_beside_the_input_of_the_model(old, new, turned):
    """The bound holds for both sides, whichever way the camera was held."""
    buffer, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6 if turned else 1
    Image.new("RGB", old[::-1]).save(buffer, "PNG", exif=exif)
    image, upright = open_image(buffer.getvalue(), "x"), old[::-1] if turned else old

    if any(side == 1 or side * MAX_ENLARGEMENT < wanted for side, wanted in zip(upright, new, strict=True)):
        with pytest.raises(ValueError, match=f"x: {upright[1]} x {upright[0]} px, too small to be judged"):
            fit_photograph(image, new, "x")
    else:
        assert fit_photograph(image, new, "x").shape == (*new, 3)


@given(SIZES, st.integers(1, 4), st.integers(1, 4))
@settings(max_examples=60)
def test_shrinking_takes_means_of_areas(size, rows, columns):
    height, width = size
    image = np.random.default_rng(0).random((height * rows, width * columns, 3), dtype=np.float32)
    means = image.reshape(height, rows, width, columns, 3).mean(axis=(1, 3))

    np.testing.assert_allclose(resize_image(image, size), means, atol=1e-5)


def test_an_image_may_shrink_one_way_and_grow_the_other():
    image = np.repeat(np.linspace(0, 1, 8, dtype=np.float32)[:, None, None], 3, axis=2).repeat(2, axis=1)

    resized = resize_image(image, (4, 6))

    assert resized.shape == (4, 6, 3)
    np.testing.assert_allclose(resized[:, 0, 0], image[:, 0, 0].reshape(4, 2).mean(axis=1), atol=1e-6)


def test_an_image_is_read_at_its_own_size_or_at_another(tmp_path):
    path = paint(tmp_path / "a.png", size=(20, 30), mode="RGB")

    whole, small = read_image(path, None), read_image(path, (10, 15))

    assert whole.shape == (20, 30, 3)
    assert whole.dtype == small.dtype == np.float32
    np.testing.assert_array_equal(whole, np.asarray(Image.open(path), np.float32) / np.float32(255))
    np.testing.assert_allclose(small, whole.reshape(10, 2, 15, 2, 3).mean(axis=(1, 3)), atol=1e-5)


@pytest.mark.parametrize("name", ["a.PNG", "Ünïcödé 名前.png", f"{'n' * 250}.png", "no ending"])
def test_names_do_not_matter(tmp_path, name):
    paint(tmp_path / "a.png").rename(tmp_path / name)

    assert read_image(tmp_path / name, None).shape == (40, 48, 3)


def test_a_mask_is_read_at_its_own_size_or_at_another(tmp_path):
    path = mark(tmp_path / "m.png", value=1, size=(40, 48))

    assert read_mask(path, None).sum() == 100
    assert read_mask(path, (4, 4)).any()
    assert read_mask(path, None).dtype == bool


@pytest.mark.parametrize("read", [read_image, read_mask])
def test_a_damaged_file_is_named(tmp_path, read):
    path = paint(tmp_path / "a.png", mode="RGB")
    path.write_bytes(path.read_bytes()[:-40])

    with pytest.raises(ValueError, match=r"a\.png: damaged or cut off"):
        read(path, None)
