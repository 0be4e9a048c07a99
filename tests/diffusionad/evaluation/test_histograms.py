import numpy as np
import pytest

from diffusionad.evaluation.histograms import count_pixels, resample
from diffusionad.metrics.sweep import auroc


def noise(images, side, seed):
    rng = np.random.default_rng(seed)
    masks = np.zeros((images, side, side), np.bool_)
    masks[::2, : side // 2, : side // 2] = True
    return rng.normal(size=masks.shape) + masks, masks


def test_every_pixel_is_counted_once():
    maps, masks = noise(4, 20, seed=0)

    histograms = count_pixels(maps, masks, 64)

    assert len(histograms.scores) <= 64
    assert histograms.normal.sum(axis=1).tolist() == (~masks).sum(axis=(1, 2)).tolist()
    assert histograms.hits.sum(axis=1).tolist() == masks.sum(axis=(1, 2)).tolist()
    assert histograms.weights.sum(axis=1).tolist() == pytest.approx(histograms.regions[:, 0].tolist())


def test_a_bin_holds_a_small_share_of_either_kind():
    maps, masks = noise(4, 40, seed=1)

    histograms = count_pixels(maps, masks, 64)

    assert histograms.merged.mean() > 0.9  # nearly all bins hold several scores
    assert histograms.normal.sum(axis=0).max() <= (~masks).sum() * 2 / 62 + 1
    assert histograms.hits.sum(axis=0).max() <= masks.sum() * 2 / 62 + 1


def test_bins_run_from_the_highest_score_down():
    histograms = count_pixels([np.array([[3.0, 1.0, 2.0, 2.0]])], [np.array([[True, False, False, True]])], 4)

    assert histograms.scores.tolist() == [3, 2, 1]
    assert histograms.hits.tolist() == [[1, 1, 0]]
    assert histograms.normal.tolist() == [[0, 1, 1]]
    assert not histograms.merged.any()


def test_a_score_shared_by_many_pixels_has_a_bin_of_its_own():
    maps, masks = noise(4, 40, seed=2)
    saturated = np.minimum(maps, 1.0)

    histograms = count_pixels(saturated, masks, 64)

    own = histograms.scores == 1
    assert histograms.merged[own].tolist() == [False]
    assert (histograms.normal + histograms.hits)[:, own].sum() == (saturated == 1).sum()


def test_a_resample_is_the_sum_of_its_images():
    maps, masks = noise(3, 10, seed=3)
    histograms = count_pixels(maps, masks, 1000)

    once = resample(histograms, np.array([[2.0, 0.0, 1.0]]))
    twice = resample(histograms, np.array([[4.0, 0.0, 2.0]]))

    assert once.normals.tolist() == [[2 * 75 + 75]]
    assert once.regions.tolist() == [[3]]
    assert auroc(twice).tolist() == auroc(once).tolist()


def test_too_few_bins_or_pixels_of_one_kind_are_refused():
    with pytest.raises(ValueError, match="at least 4 bins, got 3"):
        count_pixels(*noise(2, 4, seed=0), 3)
    with pytest.raises(ValueError, match="undefined: expected pixels of both kinds, got 4 normal, 0 anomalous"):
        count_pixels([np.zeros((2, 2))], [np.zeros((2, 2), np.bool_)], 8)
    with pytest.raises(ValueError, match="undefined: expected pixels of both kinds, got 0 normal, 0 anomalous"):
        count_pixels([], [], 8)
