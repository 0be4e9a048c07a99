import numpy as np
import pytest

from diffusionad.synthesis.alterations import move, smear, stain, warp


@pytest.fixture
def alterations(config):
    return config.appearance.alterations


def with_range(alterations, **changes):
    return alterations.model_copy(update=changes)


@pytest.fixture
def smooth():
    """A picture whose grey rises from left to right, in [0.2, 0.8]."""
    ramp = np.linspace(0.2, 0.8, 64, dtype=np.float32)
    return np.repeat(np.broadcast_to(ramp, (64, 64))[..., None], 3, axis=2)


@pytest.mark.parametrize("change", [move, warp, smear, stain])
def test_what_comes_out_is_an_image_of_the_same_size_and_range(change, alterations, normal, rng):
    changed = change(alterations, normal, rng)

    assert changed.dtype == np.float32
    assert changed.shape == normal.shape
    assert 0 <= changed.min() <= changed.max() <= 1
    assert not np.array_equal(changed, normal)


def test_a_moved_image_holds_every_pixel_once(alterations, normal, rng):
    moved = move(alterations, normal, rng)

    assert np.array_equal(np.sort(moved.reshape(-1, 3), axis=0), np.sort(normal.reshape(-1, 3), axis=0))


def test_a_moved_piece_comes_from_the_distance_asked_for(alterations, rng):
    dot = np.zeros((64, 64, 3), np.float32)
    dot[32, 32] = 1

    moved = move(with_range(alterations, shift_fraction=(0.25, 0.25)), dot, rng)

    (row,), (column,) = np.nonzero(moved[..., 0])
    assert (abs(row - 32), abs(column - 32)) == (16, 16)


def test_a_warp_displaces_no_further_than_asked(alterations, smooth, rng):
    """On a ramp of 0.6 over 63 px a change of grey is a distance."""
    warped = warp(with_range(alterations, warp_fraction=(0.05, 0.05)), smooth, rng)

    distance_px = np.abs(warped - smooth) / (0.6 / 63)
    assert 0.5 < distance_px.max() <= 0.05 * 64 + 1e-3


def test_a_smear_takes_the_texture_and_leaves_the_grey(alterations, normal, rng):
    smeared = smear(alterations, normal, rng)

    assert smeared.std() < normal.std() / 2
    assert smeared.mean() == pytest.approx(normal.mean(), abs=0.02)


def test_through_a_stain_the_texture_still_shows(alterations, normal, rng):
    stained = stain(with_range(alterations, stain_strength=(0.5, 0.5)), normal, rng)

    correlation = np.corrcoef(stained[..., 0].ravel(), normal[..., 0].ravel())[0, 1]
    assert correlation > 0.9
    assert normal.std() * 0.5 <= stained[..., 0].std() + 0.05
