import numpy as np
import pytest
from scipy import ndimage

from diffusionad.synthesis.shapes import blob_mask, shape_mask

DRAWS = 90


def test_a_shape_lies_inside_the_foreground_and_is_not_empty(config, foreground):
    speck = np.zeros((64, 64), dtype=bool)
    speck[63, 0] = True
    for where in (speck, foreground):
        for seed in range(DRAWS):
            mask = shape_mask(config.masks.shapes, where, np.random.default_rng(seed))
            assert mask.any()
            assert not (mask & ~where).any()


def test_a_shape_on_the_whole_image_is_one_piece_without_holes(config):
    for seed in range(DRAWS):
        mask = shape_mask(config.masks.shapes, np.ones((64, 64), dtype=bool), np.random.default_rng(seed))
        assert ndimage.label(mask, np.ones((3, 3)))[1] == 1
        np.testing.assert_array_equal(ndimage.binary_fill_holes(mask), mask)


def test_no_shape_is_larger_than_the_settings_allow(config):
    sides, cut = config.masks.shapes.side_fraction, config.masks.shapes.cut_fraction
    largest = max((sides[1] * 64 + 1) ** 2 / 64**2, cut[1])
    areas = [
        shape_mask(config.masks.shapes, np.ones((64, 64), dtype=bool), np.random.default_rng(s)).mean()
        for s in range(DRAWS)
    ]

    assert max(areas) <= largest


def test_all_three_shapes_are_drawn(config):
    """On a grid without rotation: a box fills its bounding box, an ellipse pi/4 of it, a cut touches the border."""
    shapes = config.masks.shapes.model_copy(update={"rotation_deg": 0.0, "side_fraction": (0.3, 0.3)})
    where = np.ones((101, 101), dtype=bool)
    kinds = {"box": 0, "ellipse": 0, "cut": 0}
    for seed in range(DRAWS):
        mask = shape_mask(shapes, where, np.random.default_rng(seed))
        rows, columns = np.nonzero(mask)
        if min(rows.min(), columns.min()) == 0 or max(rows.max(), columns.max()) == 100:
            kinds["cut"] += 1
        else:
            assert max(np.ptp(rows), np.ptp(columns)) == 30
            filled = mask.sum() / (np.ptp(rows) + 1) / (np.ptp(columns) + 1)
            kinds["box" if filled == 1 else "ellipse"] += 1
            assert filled == 1 or abs(filled - np.pi / 4) < 0.06

    assert min(kinds.values()) >= 10


def test_a_blob_without_unevenness_is_a_disc_of_its_radius(config, rng):
    blobs = config.masks.blobs.model_copy(update={"radius_fraction": (0.2, 0.2), "unevenness": 0.0})

    areas = [blob_mask(blobs, np.ones((64, 64), bool), rng).sum() for _ in range(40)]

    assert max(areas) == pytest.approx(np.pi * (0.2 * 64) ** 2, rel=0.03)


def test_an_uneven_blob_is_in_one_piece_and_no_disc(config, rng):
    blobs = config.masks.blobs.model_copy(update={"radius_fraction": (0.2, 0.2), "unevenness": 0.8})

    for _ in range(20):
        mask = blob_mask(blobs, np.ones((64, 64), bool), rng)
        assert ndimage.label(mask, np.ones((3, 3)))[1] == 1
        reach = max(np.ptp(np.nonzero(mask)[0]), np.ptp(np.nonzero(mask)[1]))
        assert reach > 2 * np.sqrt(mask.sum() / np.pi) * 0.9


def test_a_blob_stays_in_the_foreground_and_is_never_empty(config, foreground, rng):
    for _ in range(50):
        mask = blob_mask(config.masks.blobs, foreground, rng)
        assert mask.any()
        assert not (mask & ~foreground).any()
