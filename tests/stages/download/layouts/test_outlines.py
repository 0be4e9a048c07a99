import numpy as np

from stages.download.layouts.outlines import draw_outlines


def test_a_polygon_is_filled_with_its_edge():
    mask = np.asarray(draw_outlines((((2, 1), (5, 1), (5, 3), (2, 3)),), (6, 8)))

    expected = np.zeros((6, 8), np.uint8)
    expected[1:4, 2:6] = 255
    np.testing.assert_array_equal(mask, expected)


def test_what_lies_outside_is_cut_off_and_nothing_is_nothing():
    assert np.asarray(draw_outlines((((-9, -9), (99, -9), (99, 99), (-9, 99)),), (4, 4))).all()
    assert not np.asarray(draw_outlines((), (4, 4))).any()
