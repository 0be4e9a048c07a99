import numpy as np
import pytest

from diffusionad.evaluation.curves import pr_curve, pro_curve, roc_curve, score_histogram
from diffusionad.metrics.pixels import sweep_pixels
from diffusionad.metrics.pro import pro
from diffusionad.metrics.sweep import auroc, average_precision


@pytest.fixture(params=["distinct", "tied"])
def steps(request):
    rng = np.random.default_rng(0)
    masks = np.zeros((4, 40, 40), np.bool_)
    masks[:2, 5:15, 20:31] = masks[1, 30:33, 3:6] = True
    maps = rng.normal(size=masks.shape) + masks
    return sweep_pixels(maps if request.param == "distinct" else np.round(maps * 2), masks)


def area(curve):
    return np.trapezoid(curve.y, curve.x)


def test_the_area_under_the_whole_roc_curve_is_the_auroc(steps):
    assert area(roc_curve(steps, 100_000)) == pytest.approx(auroc(steps), abs=1e-12)


@pytest.mark.parametrize("fpr_limit", [0.05, 0.3, 1.0])
def test_the_area_under_the_whole_pro_curve_is_the_pro(steps, fpr_limit):
    curve = pro_curve(steps, fpr_limit, 100_000)

    assert curve.x[-1] == fpr_limit
    assert area(curve) / fpr_limit == pytest.approx(pro(steps, fpr_limit), abs=1e-12)


def test_the_steps_of_the_whole_pr_curve_sum_to_the_average_precision(steps):
    recall, precision = pr_curve(steps, 100_000)

    assert (np.diff(recall, prepend=0) * precision).sum() == pytest.approx(average_precision(steps), abs=1e-12)


@pytest.mark.parametrize("points", [2, 50, 200])
def test_a_thinned_curve_keeps_its_ends_and_its_area(steps, points):
    curve, whole = roc_curve(steps, points), roc_curve(steps, 100_000)

    assert curve.x.size <= points
    assert (curve.x[0], curve.y[0], curve.x[-1], curve.y[-1]) == (0, 0, 1, 1)
    assert area(curve) == pytest.approx(area(whole), abs=2 / (points - 1))


def test_a_thinned_curve_holds_points_of_the_whole_one(steps):
    whole = set(zip(*pr_curve(steps, 100_000), strict=True))

    thinned = list(zip(*pr_curve(steps, 20), strict=True))

    assert set(thinned) <= whole
    assert thinned[-1][0] == 1


def test_a_curve_of_one_point_is_refused(steps):
    with pytest.raises(ValueError, match="at least 2 points, got 1"):
        roc_curve(steps, 1)


def test_a_histogram_counts_every_image_once():
    labels, scores = np.array([0, 0, 1, 1, 1]), np.array([0.0, 0.4, 0.4, 0.9, 1.0])

    edges, normal, anomalous = score_histogram(labels, scores, 4)

    assert edges.tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert normal.tolist() == [1, 1, 0, 0]
    assert anomalous.tolist() == [0, 1, 0, 2]


def test_a_histogram_of_nothing_is_refused():
    with pytest.raises(ValueError, match="a histogram of no image"):
        score_histogram([], [], 4)
