import numpy as np
import pytest

from diffusionad.metrics.sweep import auroc, average_precision, f1, sweep, sweep_bins


def of(normal, anomalous):
    return sweep(np.array(normal), np.array(anomalous), np.ones(len(anomalous)), len(anomalous))


def test_swapping_normal_and_anomalous_mirrors_the_auroc():
    normal, anomalous = [0.0, 1.0, 1.0, 2.0], [1.0, 3.0, 0.5]

    assert auroc(of(anomalous, normal)) == pytest.approx(1 - auroc(of(normal, anomalous)), abs=1e-15)


def test_a_detector_that_says_nothing_has_the_precision_of_chance():
    constant = of([1.0] * 19, [1.0])

    assert auroc(constant) == 0.5
    assert average_precision(constant) == pytest.approx(1 / 20, abs=1e-15)
    assert f1(constant).tolist() == pytest.approx([2 / 21])


def test_a_step_joins_equal_scores_and_counts_the_normal_ones_on_both_sides():
    steps = of([3.0, 2.0, 2.0, 0.0], [2.0, 2.0, 1.0])

    assert steps.scores.tolist() == [2, 1]
    assert steps.hits.tolist() == [2, 1]
    assert steps.false_before.tolist() == [1, 3]
    assert steps.false_after.tolist() == [3, 3]


def test_a_bin_of_many_scores_has_the_precision_at_its_middle():
    """Ten without a false alarm, then ten among twenty normal items: 15 / 25 at the middle, 20 / 40 at the end."""
    normal, hits = np.array([0.0, 20.0]), np.array([10.0, 10.0])

    def precision(merged):
        bins = sweep_bins(np.array([1.0, 0.0]), normal, hits, hits, np.array([20.0]), np.array([False, merged]))
        return float(average_precision(bins))

    assert precision(merged=True) == pytest.approx((1 + 0.6) / 2, abs=1e-15)
    assert precision(merged=False) == pytest.approx((1 + 0.5) / 2, abs=1e-15)


def test_bins_finer_than_the_steps_change_nothing():
    steps = of([3.0, 2.0, 2.0, 0.0], [2.0, 2.0, 1.0])
    bins = sweep_bins(
        np.array([3.0, 2.0, 1.0, 0.0]),
        normal=np.array([1.0, 2.0, 0.0, 1.0]),
        hits=np.array([0.0, 2.0, 1.0, 0.0]),
        weights=np.array([0.0, 2.0, 1.0, 0.0]),
        regions=np.array([3.0]),
        merged=np.zeros(4, np.bool_),
    )

    assert auroc(bins) == auroc(steps)
    assert average_precision(bins) == average_precision(steps)
    assert f1(bins).max() == f1(steps).max()


def test_a_resample_without_anomalous_items_is_nan():
    empty = sweep_bins(
        np.ones(1), np.ones((2, 1)), np.array([[0.0], [1.0]]), np.zeros((2, 1)), np.ones((2, 1)), np.zeros(1, np.bool_)
    )

    assert np.isnan(auroc(empty)).tolist() == [True, False]
    assert np.isnan(average_precision(empty)).tolist() == [True, False]


@pytest.mark.parametrize(("normal", "anomalous", "missing"), [([], [1.0], "normal"), ([1.0], [], "anomalous")])
def test_one_kind_alone_has_no_ranking(normal, anomalous, missing):
    with pytest.raises(ValueError, match=f"undefined: there is nothing {missing} to rank"):
        of(normal, anomalous)
