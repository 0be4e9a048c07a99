import numpy as np
import pytest

from diffusionad.foreground.colours import colours, frame_mask, resized, shrunk


@pytest.mark.parametrize("size", [(100, 60), (60, 100), (33, 64)])
def test_shrinking_keeps_the_shape_and_the_mean(size):
    image = np.random.default_rng(0).random((*size, 3), dtype=np.float32)

    small = shrunk(image, 32)

    assert max(small.shape[:2]) == 32
    assert small.shape[0] / small.shape[1] == pytest.approx(size[0] / size[1], rel=0.05)
    np.testing.assert_allclose(small.mean(axis=(0, 1)), image.mean(axis=(0, 1)), atol=0.01)


def test_a_small_image_is_left_alone():
    image = np.random.default_rng(0).random((20, 30, 3), dtype=np.float32)

    np.testing.assert_array_equal(shrunk(image, 30), image)


def test_a_shade_of_grey_differs_by_its_weighted_lightness_alone():
    white, black = colours(np.asarray([[[1, 1, 1], [0, 0, 0]]], dtype=np.float32), 0.3)[0]

    np.testing.assert_allclose(white - black, [30, 0, 0], atol=0.05)


def test_the_frame_is_as_wide_on_all_sides():
    mask = frame_mask((6, 8), 2)

    assert not mask[2:4, 2:6].any()
    assert mask.sum() == 6 * 8 - 2 * 4


def test_a_mask_enlarged_by_a_whole_factor_repeats_its_pixels():
    mask = np.random.default_rng(0).random((4, 5)) > 0.5

    np.testing.assert_array_equal(resized(mask, (12, 15)), np.kron(mask, np.ones((3, 3), dtype=bool)))
