from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from diffusionad.metrics.pixels import sweep_pixels
from diffusionad.metrics.pro import pro

GOLDEN = Path(__file__).parents[2] / "golden" / "golden_metrics.npz"
LIMITS = [0.05, 0.3, 1.0]


def pixel_pro(maps, masks, fpr_limit):
    return float(pro(sweep_pixels(maps, masks), fpr_limit))


@pytest.fixture
def masks():
    """Two images with a big and a small region, and a normal one."""
    masks = np.zeros((3, 20, 20), np.bool_)
    masks[0, 2:12, 2:12] = True
    masks[1, 15, 15:17] = True
    return masks


@pytest.mark.parametrize("fpr_limit", LIMITS)
def test_a_perfect_map_has_area_one(masks, fpr_limit):
    assert pixel_pro(masks.astype(np.float32), masks, fpr_limit) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("fpr_limit", LIMITS)
def test_a_constant_map_has_the_area_of_chance(masks, fpr_limit):
    assert pixel_pro(np.ones(masks.shape), masks, fpr_limit) == pytest.approx(fpr_limit / 2, abs=1e-12)


@pytest.mark.parametrize("fpr_limit", LIMITS)
def test_an_inverted_map_has_no_area(masks, fpr_limit):
    assert pixel_pro(-masks.astype(np.float32), masks, fpr_limit) == pytest.approx(0, abs=1e-12)


def test_a_linear_curve_has_half_the_area_of_its_end_point():
    """Scores rise along the columns alike inside and outside the region, so overlap = false positive rate."""
    scores = np.tile(np.arange(2800) / 2800, (2, 1))
    mask = np.zeros(scores.shape, np.bool_)
    mask[0] = True

    assert pixel_pro([scores], [mask], 1 / 3) == pytest.approx(1 / 6, abs=1e-6)


def test_a_small_region_weighs_as_much_as_a_big_one(masks):
    big, small = masks.astype(np.float64), masks.astype(np.float64)
    big[1], small[0] = 0, 0

    found_big, found_small = pixel_pro(big, masks, 0.3), pixel_pro(small, masks, 0.3)

    assert found_big == pytest.approx(found_small, abs=1e-12)
    assert found_big == pytest.approx((1 + 0.3 / 2) / 2, abs=1e-12)


def test_a_turned_image_has_the_same_area(masks):
    maps = np.random.default_rng(0).normal(size=masks.shape) + masks

    turned = pixel_pro(np.rot90(maps, axes=(1, 2)), np.rot90(masks, axes=(1, 2)), 0.3)

    assert turned == pytest.approx(pixel_pro(maps, masks, 0.3), abs=1e-12)


def test_a_quiet_normal_image_only_adds_to_the_normal_pixels(masks):
    """With as many quiet pixels as there were normal ones, each rate halves, and so must the limit."""
    maps = np.random.default_rng(0).normal(size=masks.shape) + masks
    quiet = np.full((1, int((~masks).sum())), -100.0)

    more = pixel_pro([*maps, quiet], [*masks, np.zeros(quiet.shape, np.bool_)], 0.15)

    assert more == pytest.approx(pixel_pro(maps, masks, 0.3), abs=1e-12)


@pytest.mark.parametrize("fpr_limit", [0.0, -0.1, 1.5, np.nan])
def test_a_limit_outside_its_range_is_refused(masks, fpr_limit):
    with pytest.raises(ValueError, match=r"expected fpr_limit in \(0, 1\]"):
        pixel_pro(masks.astype(np.float64), masks, fpr_limit)


def pro_of_the_authors(maps, masks):
    """The rule of DiffusionAD's public code: equidistant thresholds, filled regions, the reached rates stretched."""
    labels = [ndimage.label(mask, np.ones((3, 3)))[0] for mask in masks]
    regions = [(i, label == j) for i, label in enumerate(labels) for j in range(1, label.max() + 1)]
    filled = [(i, ndimage.binary_fill_holes(region), region.sum()) for i, region in regions]
    step = (maps.max() - maps.min()) / 1000
    curve = []
    for threshold in maps.max() - step * np.arange(1000):
        flagged = maps > threshold
        overlap = np.mean([(flagged[i] & region).sum() / area for i, region, area in filled])
        curve.append(((flagged & ~masks).sum() / (~masks).sum(), overlap))
    fpr, overlap = np.array([point for point in curve if point[0] <= 0.3]).T
    return np.trapezoid(overlap, (fpr - fpr.min()) / (fpr.max() - fpr.min()))


@pytest.mark.parametrize("case", ["smooth", "sat", "q8"])
def test_the_routine_of_the_authors_is_what_we_say_and_disagrees(case):
    with np.load(GOLDEN, allow_pickle=False) as golden:
        maps, masks, expected = (golden[f"{case}_{part}"] for part in ("maps", "masks", "expected"))

    theirs = pro_of_the_authors(maps, masks)

    assert theirs == pytest.approx(expected[6], abs=1e-9)
    assert abs(theirs - pixel_pro(maps, masks, 0.3)) > 0.01


def test_a_filled_prediction_of_a_ring_exceeds_one_for_the_authors_and_not_for_us():
    y, x = np.mgrid[:64, :64]
    radius = np.hypot(y - 32, x - 32)
    mask = (radius < 16) & (radius > 12)
    disc = (radius < 16) + np.random.default_rng(0).uniform(0, 0.5, mask.shape)

    assert pro_of_the_authors(disc[None], mask[None]) > 1.5
    assert pixel_pro([disc], [mask], 0.3) <= 1
