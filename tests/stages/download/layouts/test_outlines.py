import json
from pathlib import Path

import numpy as np
import pytest

from stages.download.layouts.outlines import Line, Polygon, Runs, box, checked, circle, draw_outlines, fill
from stages.download.layouts.run_lengths import read_runs

GOLDEN = json.loads((Path(__file__).parents[3] / "golden" / "polygons.json").read_text())


def test_a_box_covers_as_many_pixels_as_its_sides_say():
    mask = draw_outlines((box(2, 1, 3, 2),), (6, 8), 3)

    expected = np.zeros((6, 8), dtype=bool)
    expected[1:3, 2:5] = True
    np.testing.assert_array_equal(mask, expected)


@pytest.mark.parametrize("polygon", GOLDEN["polygons"])
def test_polygons_are_filled_as_pycocotools_fills_them(polygon):
    """`pycocotools.mask.frPyObjects` 2.0.11 wrote the run lengths of random polygons, some of which leave the image."""
    size = tuple(polygon["size"])
    expected = draw_outlines((read_runs(polygon),), size, 3)

    np.testing.assert_array_equal(fill(polygon["corners"], size), expected)


def test_what_lies_outside_is_cut_off_and_nothing_is_nothing():
    assert draw_outlines((Polygon(((-9, -9), (99, -9), (99, 99), (-9, 99))),), (4, 4), 3).all()
    assert not draw_outlines((), (4, 4), 3).any()


@pytest.mark.parametrize("width", [3, 8])
def test_a_line_is_as_wide_as_is_said_in_any_direction(width):
    for end in [(90, 50), (50, 90), (85, 85)]:
        mask = draw_outlines((Line(((20, 20), end)),), (100, 100), width)

        length = np.hypot(end[0] - 20, end[1] - 20)
        assert mask.sum() == pytest.approx(length * width + np.pi * width**2 / 4, rel=0.12)


def test_a_circle_has_the_area_of_a_circle():
    assert draw_outlines((circle((50, 50), (80, 50)),), (100, 100), 3).sum() == pytest.approx(np.pi * 900, rel=0.02)


def test_run_lengths_of_another_size_are_refused():
    with pytest.raises(ValueError, match="run lengths for 4 x 3 px in an image of 5 x 3 px"):
        draw_outlines((Runs((3, 4), (12,)),), (3, 5), 3)


@pytest.mark.parametrize("points", [[(0, 0), (1, float("nan")), (2, 2)], [(0, 0), (1e9, 1), (2, 2)]])
def test_corners_far_from_any_image_are_refused(points):
    with pytest.raises(ValueError, match="lies outside of any image"):
        checked(points, 3)
