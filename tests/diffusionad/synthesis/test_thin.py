import numpy as np
import pytest
from scipy import ndimage

from diffusionad.synthesis.perlin import perlin_mask
from diffusionad.synthesis.thin import thin_mask

DRAWS = 60


def draw(config, foreground, seed):
    return thin_mask(config, foreground, np.random.default_rng(seed))


def mean_depth(masks):
    """Mean distance of all masks' pixels to the edge of their mask: about a quarter of the width of a line."""
    return np.concatenate([ndimage.distance_transform_edt(np.pad(m, 1))[np.pad(m, 1)] for m in masks]).mean()


def test_a_thin_mask_lies_inside_the_foreground_and_is_not_empty(config):
    speck = np.zeros((64, 64), dtype=bool)
    speck[40, 7] = True
    halves = np.zeros((64, 64), dtype=bool)
    halves[:20], halves[40:] = True, True
    for foreground in (speck, halves):
        for seed in range(DRAWS):
            mask = draw(config.masks.thin, foreground, seed)
            assert mask.any()
            assert not (mask & ~foreground).any()


def test_thin_masks_are_thinner_than_perlin_masks(config):
    everywhere = np.ones((128, 128), dtype=bool)
    thin = [draw(config.masks.thin, everywhere, s) for s in range(DRAWS)]
    blobs = [perlin_mask(config.masks.perlin, everywhere, np.random.default_rng(s)) for s in range(DRAWS)]

    assert mean_depth(thin) < 0.7 * mean_depth(blobs)


def test_length_and_width_follow_the_size_of_the_image(config):
    """Four times the size is sixteen times the area; if only one of the two followed, it would be four times."""
    thin = config.masks.thin.model_copy(update={"width_fraction": (0.047, 0.047)})
    area = {n: np.sum([draw(thin, np.ones((n, n), dtype=bool), s).sum() for s in range(DRAWS)]) for n in (64, 256)}

    assert area[256] / area[64] == pytest.approx(16, rel=0.25)


def test_a_scratch_without_bend_is_straight(config):
    thin = config.masks.thin.model_copy(
        update={"crack_probability": 0.0, "bend_fraction": (0.0, 0.0), "width_fraction": (0.001, 0.001)}
    )
    for seed in range(DRAWS):
        points = np.argwhere(draw(thin, np.ones((64, 64), dtype=bool), seed)).astype(float)
        # The smaller singular value of centred points on a line is their scatter across it.
        across = np.linalg.svd(points - points.mean(axis=0), compute_uv=False)[1] / np.sqrt(len(points))
        assert across < 0.75


def test_a_line_is_as_long_as_the_setting_says(config):
    thin = config.masks.thin.model_copy(
        update={"crack_probability": 0.0, "bend_fraction": (0.0, 0.0), "length_fraction": (0.25, 0.25)}
    ).model_copy(update={"width_fraction": (0.001, 0.001)})
    lengths = []
    for seed in range(DRAWS):
        points = np.argwhere(draw(thin, np.ones((101, 101), dtype=bool), seed))
        lengths.append(np.linalg.norm(np.ptp(points, axis=0)))

    assert np.max(lengths) == pytest.approx(25.25, abs=2)
    assert np.median(lengths) == pytest.approx(25.25, abs=2)


def test_a_crack_with_branches_covers_more_than_its_stem(config):
    everywhere = np.ones((128, 128), dtype=bool)
    cracks = config.masks.thin.model_copy(update={"crack_probability": 1.0, "length_fraction": (0.5, 0.5)})
    bare, branched = (cracks.model_copy(update={"max_branches": n}) for n in (0, 6))

    area = [np.mean([draw(c, everywhere, s).sum() for s in range(DRAWS)]) for c in (bare, branched)]

    assert area[1] > 1.5 * area[0]
