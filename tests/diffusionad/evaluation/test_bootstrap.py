import numpy as np
import pytest

from diffusionad.evaluation.bootstrap import (
    bootstrap_image_metrics,
    bootstrap_pixel_metrics,
    draw_resamples,
    paired_bootstrap,
    percentile_interval,
)
from diffusionad.metrics.ranking import image_ap, image_auroc, image_f1, pixel_metrics

LABELS = np.repeat([0, 1], [8, 6])


def draws_of(labels, resamples, seed):
    return draw_resamples(labels, resamples, np.random.default_rng(seed))


def scores_of(labels, shift, seed):
    return np.random.default_rng(seed).normal(size=len(labels)) + shift * np.asarray(labels)


def smooth_maps(images, side, seed):
    """Every second image has two square defects, brighter than the rest by about one standard deviation."""
    rng = np.random.default_rng(seed)
    masks = np.zeros((images, side, side), np.bool_)
    masks[1::2, 4:14, 4:14] = masks[1::2, 20:23, 20:26] = True
    offsets = rng.normal(0, 0.4, (images, 1, 1))
    return rng.normal(size=masks.shape) + offsets + masks, masks, np.arange(images) % 2


def exact_pixel_replicates(maps, masks, draws):
    def resampled(times):
        chosen = np.repeat(np.arange(len(maps)), times)
        return pixel_metrics([maps[i] for i in chosen], [masks[i] for i in chosen], 0.3)[:3]

    return np.array([resampled(times) for times in draws]).T


def test_a_resample_keeps_the_number_of_normal_and_of_anomalous_images():
    draws = draws_of([0, 1, 0, 1, 1], 50, seed=0)

    assert (draws[:, [0, 2]].sum(axis=1) == 2).all()
    assert (draws[:, [1, 3, 4]].sum(axis=1) == 3).all()
    assert draws.mean(axis=0) == pytest.approx(np.ones(5), abs=0.5)


def test_the_same_seed_draws_the_same_resamples():
    assert (draws_of(LABELS, 20, seed=3) == draws_of(LABELS, 20, seed=3)).all()
    assert (draws_of(LABELS, 20, seed=3) != draws_of(LABELS, 20, seed=4)).any()


@pytest.mark.parametrize("decimals", [0, 6], ids=["tied", "distinct"])
def test_each_image_replicate_is_the_figure_of_its_resample(decimals):
    scores, draws = np.round(scores_of(LABELS, 1, seed=0), decimals), draws_of(LABELS, 130, seed=1)

    replicates = bootstrap_image_metrics(LABELS, scores, draws)

    for times, auroc, ap, f1 in zip(draws, *replicates, strict=True):
        resample = np.repeat(LABELS, times), np.repeat(scores, times)
        assert auroc == pytest.approx(image_auroc(*resample), abs=1e-12)
        assert ap == pytest.approx(image_ap(*resample), abs=1e-12)
        assert f1 == pytest.approx(image_f1(*resample).f1, abs=1e-12)


def test_pixel_replicates_of_few_distinct_scores_are_exact():
    maps, masks, labels = smooth_maps(6, 32, seed=0)
    coarse, draws = np.round(maps * 30), draws_of(labels, 20, seed=0)

    replicates = bootstrap_pixel_metrics(coarse, masks, 0.3, draws)

    np.testing.assert_allclose(replicates, exact_pixel_replicates(coarse, masks, draws), atol=1e-12, rtol=0)


def test_bins_move_a_pixel_interval_by_less_than_a_thousandth():
    maps, masks, labels = smooth_maps(8, 40, seed=1)
    draws = draws_of(labels, 150, seed=0)

    binned = bootstrap_pixel_metrics(maps, masks, 0.3, draws)
    exact = exact_pixel_replicates(maps, masks, draws)

    for ours, truth in zip(binned, exact, strict=True):
        assert np.abs(ours - truth).max() < 1e-3
        assert percentile_interval(ours) == pytest.approx(percentile_interval(truth), abs=1e-3)


def test_pixel_replicates_do_not_depend_on_the_scale_of_the_scores():
    maps, masks, labels = smooth_maps(4, 40, seed=2)
    draws = draws_of(labels, 10, seed=0)

    before = bootstrap_pixel_metrics(maps, masks, 0.3, draws)
    after = bootstrap_pixel_metrics(np.arctan(maps), masks, 0.3, draws)

    np.testing.assert_allclose(after, before, atol=1e-12, rtol=0)


def test_the_spread_of_replicates_is_that_of_the_mann_whitney_statistic():
    """Without any difference between the kinds, the variance of AUROC is (m + n + 1) / (12 m n)."""
    labels = np.repeat([0, 1], [150, 100])
    spreads = []
    for seed in range(20):
        draws = draws_of(labels, 300, seed)
        spreads.append(bootstrap_image_metrics(labels, scores_of(labels, 0, seed), draws).auroc.std())

    assert np.mean(spreads) == pytest.approx(np.sqrt(251 / (12 * 150 * 100)), rel=0.1)


def test_an_interval_holds_the_middle_95_percent():
    assert percentile_interval(np.arange(1001.0)) == pytest.approx((25, 975))


def test_undefined_replicates_are_left_out_of_an_interval():
    maps, masks, labels = smooth_maps(4, 32, seed=3)
    masks[3] = False  # an anomalous image without a region: a resample that draws it alone has none
    draws = draws_of(labels, 40, seed=0)

    replicates = bootstrap_pixel_metrics(maps, masks, 0.3, draws)

    assert np.isnan(replicates.pro).tolist() == (draws[:, 1] == 0).tolist()
    assert 0 < percentile_interval(replicates.pro).low <= 1
    with pytest.raises(ValueError, match="undefined: none of 2 resamples"):
        percentile_interval(np.full(2, np.nan))


def test_a_model_does_not_differ_from_itself():
    replicates = bootstrap_image_metrics(LABELS, scores_of(LABELS, 1, seed=0), draws_of(LABELS, 50, seed=0))

    assert paired_bootstrap(replicates.auroc, replicates.auroc) == (0, 0, 0.5)


def test_a_model_that_ranks_all_right_beats_one_that_ranks_all_wrong_in_every_resample():
    draws = draws_of(LABELS, 200, seed=0)
    perfect = bootstrap_image_metrics(LABELS, LABELS, draws).auroc
    inverted = bootstrap_image_metrics(LABELS, -LABELS, draws).auroc

    assert paired_bootstrap(perfect, inverted) == (1, 1, 1)
    assert paired_bootstrap(inverted, perfect) == (-1, -1, 0)


def test_swapping_the_models_mirrors_their_difference():
    draws = draws_of(LABELS, 200, seed=0)
    a, b = (bootstrap_image_metrics(LABELS, scores_of(LABELS, 1, seed), draws).ap for seed in (1, 2))

    forward, backward = paired_bootstrap(a, b), paired_bootstrap(b, a)

    assert (forward.low, forward.high) == pytest.approx((-backward.high, -backward.low), abs=1e-12)
    assert forward.probability_better == pytest.approx(1 - backward.probability_better)


def test_a_pair_on_the_same_draws_differs_less_than_two_on_their_own():
    labels = np.repeat([0, 1], [40, 40])
    scores = scores_of(labels, 1, seed=0)
    nudged = scores + 0.1 * scores_of(labels, 0, seed=1)

    def width(seed):
        ours = bootstrap_image_metrics(labels, nudged, draws_of(labels, 300, seed=0)).auroc
        theirs = bootstrap_image_metrics(labels, scores, draws_of(labels, 300, seed)).auroc
        low, high, _ = paired_bootstrap(ours, theirs)
        return high - low

    assert width(seed=0) < width(seed=1) / 2


def test_draws_of_other_images_are_refused():
    with pytest.raises(ValueError, match=r"expected draws of shape \(R, 2\)"):
        bootstrap_image_metrics([0, 1], [0.1, 0.2], draws_of(LABELS, 5, seed=0))
    with pytest.raises(ValueError, match="expected replicates over the same draws"):
        paired_bootstrap(np.zeros(3), np.zeros(4))
    with pytest.raises(ValueError, match="expected images and resamples, got 0 and 5"):
        draws_of([], 5, seed=0)
    with pytest.raises(ValueError, match="got 2 and 0"):
        draws_of([0, 1], 0, seed=0)
