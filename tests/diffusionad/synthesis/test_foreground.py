import numpy as np
import pytest
from scipy import ndimage

from diffusionad.synthesis.foreground import ForegroundConfig, foreground_mask

Y, X = np.mgrid[0:150, 0:200]
DISC = (Y - 80) ** 2 + (X - 90) ** 2 < 45**2


@pytest.fixture
def config():
    return ForegroundConfig(
        rule="otsu",
        working_px=256,
        border_px=4,
        closing_px=5,
        opening_px=3,
        piece_fraction=0.2,
        area=(0.02, 0.95),
    )


def photograph(shape, background, bright=0.0):
    """The shape on a noisy background of another brightness."""
    grey = np.where(shape, bright, background) + np.random.default_rng(0).normal(0, 0.03, shape.shape)
    return np.repeat(np.clip(grey, 0, 1)[..., None], 3, axis=2).astype(np.float32)


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


@pytest.mark.parametrize("rule", ["otsu", "triangle"])
@pytest.mark.parametrize(("background", "object_"), [(0.15, 0.8), (0.85, 0.2)], ids=["bright object", "dark object"])
def test_the_border_decides_which_side_is_the_object(config, rule, background, object_):
    found = foreground_mask(
        config.model_copy(update={"rule": rule}), "threshold", photograph(DISC, background, object_)
    )

    assert not found.fell_back
    assert overlap(found.mask, DISC) > 0.95


def test_the_mask_has_the_size_of_the_image_however_small_it_was_worked_out(config):
    coarse = foreground_mask(config.model_copy(update={"working_px": 64}), "threshold", photograph(DISC, 0.1, 0.8))

    assert coarse.mask.shape == DISC.shape
    assert overlap(coarse.mask, DISC) > 0.9


def test_holes_are_filled_and_specks_are_dropped(config):
    ring = DISC & ((Y - 80) ** 2 + (X - 90) ** 2 > 25**2)
    speck = (Y - 20) ** 2 + (X - 180) ** 2 < 6**2

    found = foreground_mask(config, "threshold", photograph(ring | speck, 0.1, 0.8)).mask

    assert overlap(found, DISC) > 0.95
    assert ndimage.label(found)[1] == 1


def test_two_objects_of_like_size_are_both_kept(config):
    pair = ((Y - 75) ** 2 + (X - 50) ** 2 < 30**2) | ((Y - 75) ** 2 + (X - 150) ** 2 < 25**2)

    found = foreground_mask(config, "threshold", photograph(pair, 0.1, 0.8)).mask

    assert ndimage.label(found)[1] == 2


@pytest.mark.parametrize("side", [1, 4, 5])
def test_closing_and_opening_leave_a_large_square_in_its_place(config, side):
    square = (np.abs(Y - 75) < 40) & (np.abs(X - 100) < 40)
    clean = np.repeat(square[..., None], 3, axis=2).astype(np.float32)

    found = foreground_mask(config.model_copy(update={"closing_px": side, "opening_px": side}), "threshold", clean)

    np.testing.assert_array_equal(found.mask, square)


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_an_image_without_contrast_falls_back_to_the_whole(config, value):
    found = foreground_mask(config, "threshold", np.full((40, 50, 3), value, np.float32))

    assert found.fell_back
    assert found.mask.all()


@pytest.mark.parametrize("area", [(0.9, 1.0), (0.0, 0.05)], ids=["too small", "too large"])
def test_an_area_that_is_not_credible_falls_back_to_the_whole(config, area):
    found = foreground_mask(config.model_copy(update={"area": area}), "threshold", photograph(DISC, 0.1, 0.8))

    assert found.fell_back
    assert found.mask.all()


def test_the_full_method_is_the_whole_image_on_purpose(config):
    found = foreground_mask(config, "full", photograph(DISC, 0.1, 0.8))

    assert found.mask.all()
    assert not found.fell_back
