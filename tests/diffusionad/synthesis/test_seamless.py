import numpy as np
import pytest
from scipy import ndimage

from diffusionad.synthesis.seamless import seamless_blend

LAPLACE = np.asarray([[0, 1, 0], [1, -4, 1], [0, 1, 0]])


@pytest.fixture
def mask():
    """Two pieces, one of them with a hole and one on the rim of the image."""
    mask = np.zeros((64, 64), dtype=bool)
    mask[10:30, 12:40] = True
    mask[16:20, 20:24] = False
    mask[50:, 30:45] = True
    return mask


@pytest.fixture
def inner(mask):
    """Its pixels away from the rim, where all four neighbours exist."""
    inner = mask.copy()
    inner[-1] = False
    return inner


def laplacian(image):
    return np.stack([ndimage.convolve(image[..., c].astype(float), LAPLACE) for c in range(3)], axis=-1)


def muted(image):
    """Far from 0 and 1, so that nothing is clipped."""
    return np.float32(0.45) + np.float32(0.1) * image


@pytest.fixture
def appearance(rng):
    return rng.random((64, 64, 3), dtype=np.float32)


def test_outside_the_mask_not_a_bit_changes(normal, mask, appearance):
    assert seamless_blend(normal, mask, appearance)[~mask].tobytes() == normal[~mask].tobytes()


def test_inside_the_mask_the_gradients_are_those_of_the_appearance(normal, mask, inner, appearance):
    """lap f = lap A, with the values of the image beyond the border."""
    sewn = seamless_blend(muted(normal), mask, muted(appearance))

    np.testing.assert_allclose(laplacian(sewn)[inner], laplacian(muted(appearance))[inner], atol=1e-5)


def test_a_constant_appearance_gives_the_harmonic_interpolation_of_the_border(normal, mask, inner):
    """Every pixel is the mean of its neighbours, whatever the constant was, and none leaves the range of the border."""
    black, white = (seamless_blend(normal, mask, np.full_like(normal, value)) for value in (0.0, 1.0))

    np.testing.assert_allclose(laplacian(black)[inner], 0, atol=1e-5)
    np.testing.assert_allclose(black, white, atol=1e-5)
    border = ndimage.binary_dilation(mask) & ~mask
    assert black[mask].min() >= normal[border].min()
    assert black[mask].max() <= normal[border].max()


def test_the_image_itself_gives_the_image(normal, mask):
    np.testing.assert_allclose(seamless_blend(normal, mask, normal), normal, atol=1e-6)


def test_a_slope_is_continued_through_the_mask():
    """The harmonic interpolation of a plane is the plane; here with nothing but a flat piece to go by."""
    slope = np.repeat(np.linspace(0.2, 0.8, 64, dtype=np.float32)[None, :, None], 64, axis=0).repeat(3, axis=2)
    mask = np.zeros((64, 64), dtype=bool)
    mask[20:40, 15:45] = True

    np.testing.assert_allclose(seamless_blend(slope, mask, np.zeros_like(slope)), slope, atol=1e-6)


def test_brightness_of_the_appearance_does_not_matter(normal, mask, appearance):
    darker, brighter = (
        seamless_blend(muted(normal), mask, muted(appearance) + np.float32(shift)) for shift in (-0.1, 0.1)
    )

    np.testing.assert_allclose(darker, brighter, atol=1e-5)


def test_a_sewn_image_stays_in_the_unit_interval_and_grey_stays_grey(normal, mask, appearance):
    grey, pasted = (np.repeat(image[..., :1], 3, axis=2) for image in (normal, appearance))

    sewn = seamless_blend(grey, mask, pasted)

    assert sewn.dtype == np.float32
    assert sewn.min() >= 0
    assert sewn.max() <= 1
    assert np.ptp(sewn, axis=2).max() == 0


def test_without_a_border_there_is_nothing_to_sew_to(normal, appearance):
    everywhere = np.ones((64, 64), dtype=bool)

    np.testing.assert_array_equal(seamless_blend(normal, everywhere, appearance), appearance)
    np.testing.assert_array_equal(seamless_blend(normal, ~everywhere, appearance), normal)


def test_neither_image_is_written_to(normal, mask, appearance):
    before = normal.copy(), appearance.copy()

    seamless_blend(normal, mask, appearance)

    np.testing.assert_array_equal(normal, before[0])
    np.testing.assert_array_equal(appearance, before[1])
