import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diffusionad.metrics.ranking import image_f1
from diffusionad.metrics.threshold import calibrate_threshold, images_needed, operating_point, promise

RATES = st.sampled_from([0.0, 0.05, 0.1, 0.29, 0.5, 0.9])


@given(st.lists(st.integers(-20, 20), min_size=2, max_size=40), RATES)
def test_of_all_normal_images_in_turn_no_more_than_promised_are_flagged(scores, rate):
    """Each image in turn is the new one and the others calibrate: the mean over them is the chance of a false alarm."""
    flagged = sum(s >= calibrate_threshold(scores[:i] + scores[i + 1 :], rate) for i, s in enumerate(scores))

    assert flagged <= max(1, math.floor(rate * len(scores) + 1e-9))


@given(st.permutations(range(30)), RATES)
def test_the_promise_is_used_up_if_no_scores_are_equal(scores, rate):
    flagged = sum(s >= calibrate_threshold([*scores[:i], *scores[i + 1 :]], rate) for i, s in enumerate(scores))

    assert flagged == max(1, math.floor(rate * 30 + 1e-9))


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=20), RATES)
def test_a_score_is_flagged_alike_in_single_and_double_precision(scores, rate):
    narrow = np.array(scores, np.float32)

    threshold = calibrate_threshold(narrow, rate)

    assert (narrow >= threshold).tolist() == (narrow.astype(np.float64) >= threshold).tolist()


def test_a_rate_that_binary_cannot_hold_is_not_rounded_down():
    """0.29 * 100 is 28.999999999999996, yet 29 of a hundred images may be flagged: 28 of the 99 that calibrate."""
    scores = np.arange(99)

    assert (scores >= calibrate_threshold(scores, 0.29)).sum() == 28


def test_a_rate_of_zero_flags_no_validation_image():
    assert not (np.array([0.1, 0.7, 0.3]) >= calibrate_threshold([0.1, 0.7, 0.3], 0.0)).any()


@given(st.lists(st.tuples(st.booleans(), st.integers(-5, 5)), min_size=1, max_size=30), st.integers(-6, 6))
def test_counts_and_shares_agree(images, threshold):
    labels, scores = [a for a, _ in images], [s for _, s in images]

    point = operating_point(labels, scores, threshold)

    assert point.true_positives + point.false_negatives == sum(labels)
    assert point.false_positives + point.true_negatives == len(labels) - sum(labels)
    assert point.true_positives + point.false_positives == sum(s >= threshold for s in scores)
    if point.precision and point.recall:
        assert point.f1 == pytest.approx(2 / (1 / point.precision + 1 / point.recall))


def test_the_best_f1_is_reached_at_its_threshold():
    labels = np.arange(30) % 2
    scores = np.random.default_rng(0).normal(size=30) + labels
    best = image_f1(labels, scores)

    assert operating_point(labels, scores, best.threshold).f1 == pytest.approx(best.f1)


def test_a_share_of_nothing_is_none():
    only_normal = operating_point([0, 0], [0.1, 0.9], 0.5)
    nothing_flagged = operating_point([1, 1], [0.1, 0.2], 0.5)

    assert (only_normal.recall, only_normal.false_alarm_rate, only_normal.precision) == (None, 0.5, 0.0)
    assert (nothing_flagged.precision, nothing_flagged.recall, nothing_flagged.f1) == (None, 0.0, 0.0)
    assert nothing_flagged.false_alarm_rate is None
    assert operating_point([0], [0.1], 0.5).f1 is None


@pytest.mark.parametrize(
    ("scores", "rate", "message"),
    [
        ([], 0.1, r"expected the scores of normal images, got an array of shape \(0,\)"),
        ([0.1, np.nan], 0.1, "image 1: expected a finite score, got nan"),
        ([0.1], 1.0, r"expected false_alarm_rate in \[0, 1\), got 1.0"),
        ([0.1], -0.1, r"expected false_alarm_rate in \[0, 1\), got -0.1"),
    ],
)
def test_what_calibrates_nothing_is_refused(scores, rate, message):
    with pytest.raises(ValueError, match=message):
        calibrate_threshold(scores, rate)


@pytest.mark.parametrize(("labels", "threshold"), [([], 0.5), ([1], np.nan)])
def test_no_image_and_no_threshold_are_refused(labels, threshold):
    with pytest.raises(ValueError, match="expected images and a finite threshold"):
        operating_point(labels, labels, threshold)


@given(st.integers(10, 200), st.sampled_from([0.05, 0.1, 0.29]))
def test_the_promise_of_a_calibrated_threshold_is_the_rate_that_was_asked_for(count, rate):
    scores = np.random.default_rng(count).random(count)

    promised = promise(scores, calibrate_threshold(scores, rate), 50)

    assert promised.images == count
    assert promised.rate <= max(rate, 1 / (count + 1)) + 1e-9
    assert promised.rate > rate - 1 / (count + 1)
    assert promised.low <= promised.rate <= promised.high


def test_the_false_alarms_of_95_test_sets_in_a_hundred_lie_in_the_range():
    """Calibration and test images are drawn anew 4000 times. Rates are whole counts, so a few more lie inside."""
    rng = np.random.default_rng(0)
    rates, inside = [], []
    for _ in range(4000):
        normal, test = rng.random(99), rng.random(150)
        threshold = calibrate_threshold(normal, 0.1)
        rates.append((test >= threshold).mean())
        promised = promise(normal, threshold, 150)
        inside.append(promised.low <= rates[-1] <= promised.high)

    assert promised.rate == pytest.approx(0.1)
    assert np.mean(rates) == pytest.approx(promised.rate, abs=0.002)
    assert 0.95 <= np.mean(inside) < 0.975


def test_without_test_images_nothing_is_said_of_them_and_a_threshold_below_all_promises_every_image():
    assert promise([0.1, 0.2, 0.3], 0.25, 0) == (0.5, 3, 0.25, None, None)
    assert promise([0.1, 0.2, 0.3], 0.05, 20) == (1.0, 3, 0.25, 1.0, 1.0)


@given(st.one_of(st.floats(0.001, 0.999), st.integers(2, 400).map(lambda n: 1 / n)))
def test_as_many_images_as_a_rate_needs_can_promise_it_and_one_fewer_cannot(rate):
    needed = images_needed(rate)

    def promised(count):
        scores = np.arange(count)
        return promise(scores, calibrate_threshold(scores, rate), 0).rate

    assert promised(needed) <= rate * (1 + 1e-8)
    if needed > 1:
        assert promised(needed - 1) == 1 / needed > rate


@pytest.mark.parametrize(("count", "asked"), [(1, 0.05), (4, 0.05), (18, 0.05), (19, 0.05), (39, 0.05), (12, 0.2)])
def test_of_exchangeable_scores_the_promised_share_is_flagged_and_no_threshold_flags_a_smaller_one(count, asked):
    """20,000 times, n + 1 scores are drawn and the last one is the new image. One rank more or less shows."""
    drawn = np.random.default_rng(count).normal(size=(20_000, count + 1)).astype(np.float32)
    thresholds = np.array([calibrate_threshold(row[:-1], asked) for row in drawn])
    above_all = drawn[:, -1] >= np.nextafter(drawn[:, :-1].max(axis=1), np.float32(np.inf))
    promised = promise(drawn[0, :-1], thresholds[0], 0)

    error = 5 * math.sqrt(promised.rate * (1 - promised.rate) / len(drawn))
    assert (drawn[:, -1] >= thresholds).mean() == pytest.approx(promised.rate, abs=error)
    assert above_all.mean() == pytest.approx(promised.least, abs=error)
    assert 1 / (count + 1) > 2 * error, "one rank would not show"


@pytest.mark.parametrize("rate", [0.0, 1.0, -0.1])
def test_a_rate_that_no_number_of_images_can_promise_is_refused(rate):
    with pytest.raises(ValueError, match=r"expected false_alarm_rate in \(0, 1\)"):
        images_needed(rate)


@pytest.mark.parametrize("scores", [[], [np.nan], [[0.1]]])
def test_a_promise_needs_scores(scores):
    with pytest.raises(ValueError, match=r"expected (the scores of normal images|a finite score)"):
        promise(scores, 0.5, 10)
