import numpy as np
import pytest

from stages.download.facts import ImageFacts
from stages.download.frames import Frame, draw, frame_of
from stages.download.layouts.outlines import box

UPRIGHT = ImageFacts("", 40, 60)
TURNED = UPRIGHT._replace(orientation=6)
"""Stored as 40 x 60 (width by height), shown as 60 x 40."""
WIDE, TALL = (box(50, 2, 8, 8),), (box(2, 50, 8, 8),)
EITHER = (box(2, 2, 8, 8),)


@pytest.mark.parametrize(
    ("fact", "stated", "shapes", "frame"),
    [
        (UPRIGHT, None, EITHER, Frame((40, 60))),
        (UPRIGHT, (40, 60), EITHER, Frame((40, 60))),
        (UPRIGHT, (80, 120), EITHER, Frame((80, 120), is_scaled=True)),
        (UPRIGHT, (27, 40), EITHER, Frame((27, 40), is_scaled=True)),
        (TURNED, (40, 60), EITHER, Frame((40, 60))),
        (TURNED, (60, 40), EITHER, Frame((60, 40), 6)),
        (TURNED, (120, 80), EITHER, Frame((120, 80), 6, is_scaled=True)),
        (TURNED, None, WIDE, Frame((40, 60))),
        (TURNED, None, TALL, Frame((60, 40), 6)),
    ],
)
def test_the_frame_is_the_one_that_fits_size_and_corners(fact, stated, shapes, frame):
    assert frame_of(fact, stated, shapes) == frame


@pytest.mark.parametrize("stated", [(41, 60), (40, 61), (60, 40), (80, 60), (30, 60), (4 * 10**6, 6 * 10**6)])
def test_another_shape_than_the_one_stated_is_refused(stated):
    with pytest.raises(ValueError, match=rf"states {stated[1]} x {stated[0]} px, the photograph has 60 x 40 px"):
        frame_of(UPRIGHT, stated, EITHER)


@pytest.mark.parametrize(
    ("fact", "stated"),
    [(TURNED, None), (UPRIGHT._replace(orientation=3), (40, 60)), (ImageFacts("", 40, 40, orientation=6), (40, 40))],
)
def test_a_turned_photograph_whose_frame_is_open_is_refused(fact, stated):
    with pytest.raises(ValueError, match=r"EXIF turns the photograph \(orientation"):
        frame_of(fact, stated, EITHER)


def test_a_mask_drawn_in_the_stored_frame_is_turned_as_the_photograph_is():
    """Orientation 6: the left column of the stored picture becomes the top row."""
    mask = draw((box(0, 0, 1, 60),), Frame((60, 40), 6), (40, 60), 3)

    assert np.argwhere(mask)[:, 0].tolist() == [0] * 60


def test_a_mask_of_a_larger_photograph_is_scaled_with_it():
    mask = draw((box(20, 40, 8, 12),), Frame((80, 120), is_scaled=True), (40, 60), 3)

    np.testing.assert_array_equal(mask, draw((box(10, 20, 4, 6),), Frame((40, 60)), (40, 60), 3))
