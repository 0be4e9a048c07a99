import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image
from scipy import ndimage

from diffusionad.data.masks import EIGHT_CONNECTED, read_marks, resize_mask, to_mask

SIDES = st.integers(1, 40)
MASKS = st.tuples(SIDES, SIDES).flatmap(lambda shape: arrays(bool, shape))


def mask_of(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    reread = Image.open(buffer)
    reread.load()
    return to_mask(reread, "x")


@given(MASKS, SIDES, SIDES)
@settings(max_examples=300)
def test_every_defect_that_was_there_is_there_at_any_size(mask, height, width):
    """Each component keeps a positive pixel where its own pixels fall."""
    resized = resize_mask(mask, (height, width))

    components, count = ndimage.label(mask, structure=EIGHT_CONNECTED)
    assert resized.shape == (height, width)
    for number in range(1, count + 1):
        rows, columns = np.nonzero(components == number)
        target_rows = ((rows + 0.5) * height / mask.shape[0]).astype(int)
        target_columns = ((columns + 0.5) * width / mask.shape[1]).astype(int)
        assert resized[target_rows, target_columns].any()


@given(MASKS, SIDES, SIDES)
@settings(max_examples=100)
def test_nothing_comes_from_nothing(mask, height, width):
    assert not resize_mask(np.zeros_like(mask), (height, width)).any()
    assert resize_mask(np.ones_like(mask), (height, width)).all()
    np.testing.assert_array_equal(resize_mask(mask, mask.shape), mask)


def test_a_large_defect_keeps_its_area():
    mask = np.zeros((128, 128), bool)
    mask[20:84, 28:108] = True

    assert resize_mask(mask, (32, 32)).mean() == pytest.approx(mask.mean(), rel=1e-6)


def test_a_scratch_of_one_pixel_stays_a_line():
    mask = np.zeros((64, 64), bool)
    mask[20, 4:60] = True

    resized = resize_mask(mask, (16, 16))

    assert resized[5].sum() == 14
    assert resized.sum() == 14


def test_a_dot_beside_a_large_defect_survives():
    mask = np.zeros((64, 64), bool)
    mask[0:32] = True
    mask[50, 50] = True

    assert resize_mask(mask, (8, 8))[6, 6]


@pytest.mark.parametrize("value", [1, 2, 7, 128, 255])
def test_class_numbers_above_zero_are_defect(value):
    levels = np.array([[0, value], [0, 0]], np.uint8)

    np.testing.assert_array_equal(mask_of(Image.fromarray(levels)), levels > 0)


def test_small_and_large_class_numbers_stand_side_by_side():
    levels = np.array([[0, 1], [13, 255]], np.uint8)

    np.testing.assert_array_equal(mask_of(Image.fromarray(levels)), levels > 0)


def test_soft_edges_are_cut_at_half():
    ramp = np.tile(np.arange(256, dtype=np.uint8), (2, 1))

    np.testing.assert_array_equal(mask_of(Image.fromarray(ramp)), ramp > 127)


def test_a_faint_ramp_is_cut_at_half_of_its_own_height():
    ramp = np.tile(np.arange(101, dtype=np.uint8), (2, 1))

    np.testing.assert_array_equal(mask_of(Image.fromarray(ramp)), ramp > 50)


def test_the_noise_of_jpeg_is_no_defect():
    levels = np.zeros((64, 64), np.uint8)
    levels[16:48, 16:48] = 255

    mask = mask_of(Image.fromarray(levels), "JPEG", quality=60)

    assert np.mean(mask != (levels > 0)) < 0.01


def test_a_faint_block_of_a_jpeg_is_noise_though_its_values_are_few():
    levels = np.zeros((32, 32), np.uint8)
    levels[8:16, 8:16], levels[16:24, 16:24] = 2, 255

    mask = mask_of(Image.fromarray(levels), "JPEG", quality=100)

    np.testing.assert_array_equal(mask, levels == 255)


def test_a_transparent_drawing_marks_where_it_is_opaque():
    drawing = np.zeros((2, 2, 4), np.uint8)
    drawing[...] = (35, 164, 54, 0)
    drawing[0, 1, 3] = 255

    np.testing.assert_array_equal(mask_of(Image.fromarray(drawing)), [[False, True], [False, False]])


def test_where_all_is_opaque_the_colour_counts():
    drawing = np.zeros((1, 2, 4), np.uint8)
    drawing[..., 3] = 255
    drawing[0, 1, 2] = 200

    np.testing.assert_array_equal(mask_of(Image.fromarray(drawing)), [[False, True]])


@pytest.mark.parametrize("palette", [[0, 0, 0, 1, 1, 1], [0, 0, 0, 128, 0, 0], [0, 0, 0, 0, 0, 0]])
def test_a_palette_marks_what_is_not_black_or_not_index_zero(palette):
    image = Image.fromarray(np.array([[0, 1]], np.uint8))
    image = image.convert("P")
    image.putpalette(palette)

    np.testing.assert_array_equal(mask_of(image, "BMP"), [[False, True]])


def test_sixteen_bit_masks_are_read():
    levels = np.array([[0, 1], [65535, 0]], np.uint16)

    np.testing.assert_array_equal(mask_of(Image.fromarray(levels)), levels > 0)


def test_a_photograph_is_soft_and_a_mask_of_any_kind_is_not():
    photograph = np.random.default_rng(0).integers(0, 256, (40, 48), dtype=np.uint8)
    labels = np.zeros((40, 48), np.uint8)
    labels[5:20, 5:20] = 3
    edge = np.zeros((40, 48), np.uint8)
    edge[5:20, 5:40] = np.linspace(0, 255, 35)[None].astype(np.uint8)
    edge[20:, :] = 255

    assert read_marks(Image.fromarray(photograph), "x").soft > 0.7
    assert read_marks(Image.fromarray(labels), "x").soft == 0
    assert read_marks(Image.fromarray(np.full((4, 4), 255, np.uint8)), "x").soft == 0
    assert 0 < read_marks(Image.fromarray(edge), "x").soft < 0.25
