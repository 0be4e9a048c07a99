import numpy as np
import pytest
from scipy import ndimage

from diffusionad.foreground.tidy import TidyConfig, tidied

CONFIG = TidyConfig(closing_px=5, opening_px=3, piece_fraction=0.2)


def test_holes_are_filled_and_specks_are_dropped(disc):
    ring = disc() & ~disc(radius=12)

    np.testing.assert_array_equal(tidied(CONFIG, ring | disc(10, 92, 4)), tidied(CONFIG, disc()))


def test_two_objects_of_like_size_are_both_kept(disc):
    assert ndimage.label(tidied(CONFIG, disc(40, 25, 15) | disc(40, 75, 12)))[1] == 2


@pytest.mark.parametrize("side", [1, 4, 5])
def test_closing_and_opening_leave_a_large_square_in_its_place(side):
    square = np.zeros((75, 100), dtype=bool)
    square[20:60, 30:70] = True

    tidy = tidied(CONFIG.model_copy(update={"closing_px": side, "opening_px": side}), square)

    np.testing.assert_array_equal(tidy, square)


def test_nothing_stays_nothing():
    assert not tidied(CONFIG, np.zeros((20, 30), dtype=bool)).any()
