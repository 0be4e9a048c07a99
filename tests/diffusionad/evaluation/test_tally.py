import numpy as np
import pytest

from diffusionad.evaluation.histograms import count_pixels, count_tallied
from diffusionad.evaluation.tally import codes, sweep_tally, tally, tie_bounds, values
from diffusionad.metrics.pixels import sweep_pixels
from diffusionad.metrics.pro import pro
from diffusionad.metrics.sweep import auroc, average_precision, f1


@pytest.fixture(params=[np.float16, np.float32])
def marked(request):
    """Six maps with ties across images, negative scores, both zeros, and masks of which half are empty."""
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(6, 24, 24)).astype(request.param)
    maps[:, 0, :2] = [0.0, -0.0]
    maps[1, 3:6] = maps[0, 3:6]
    masks = np.zeros(maps.shape, np.bool_)
    masks[::2, 4:9, 4:9] = True
    masks[::2, 20, 20] = True
    maps[masks] += 1
    return maps, masks


def figures(steps):
    return [float(auroc(steps)), float(average_precision(steps)), float(pro(steps, 0.3)), float(f1(steps).max())]


def test_half_floats_are_numbered_in_their_order_and_back():
    scores = np.array([-65504, -1, -6e-8, 0, 6e-8, 0.5, 65504], np.float16)

    numbers = codes(scores)

    assert (np.diff(numbers.astype(int)) > 0).all()
    assert values(numbers).tolist() == scores.tolist()


def test_maps_in_float16_have_the_figures_that_sorting_gives(marked):
    maps, masks = marked[0].astype(np.float16), marked[1]

    steps = sweep_tally(tally(maps, masks))

    assert figures(steps) == pytest.approx(figures(sweep_pixels(maps, masks)), abs=1e-12)
    assert steps.scores.tolist() == sweep_pixels(maps, masks).scores.tolist()


def test_the_figures_before_rounding_lie_within_the_bounds(marked):
    maps, masks = marked
    coarse = np.round(maps * 2) / 2
    steps = sweep_tally(tally(coarse, masks))

    bounds = tie_bounds(steps, 0.3)

    for exact, (low, high) in zip(figures(sweep_pixels(maps, masks)), bounds, strict=True):
        assert low <= exact <= high
        assert high - low > 0.01


def test_a_second_pass_counts_what_all_pixels_at_once_give(marked):
    maps, masks = marked[0].astype(np.float16), marked[1]

    passed, pooled = count_tallied(maps, masks, 64, tally(maps, masks)), count_pixels(maps, masks, 64)

    for one, other in zip(passed, pooled, strict=True):
        np.testing.assert_array_equal(one, other)


def test_scores_beyond_float16_are_refused():
    with pytest.raises(ValueError, match="within 65504 of 0"):
        tally([np.full((2, 2), 1e6)], [np.zeros((2, 2), np.bool_)])


@pytest.mark.parametrize(("mask", "missing"), [(np.zeros, "anomalous"), (np.ones, "normal")])
def test_one_kind_alone_has_no_rank(mask, missing):
    with pytest.raises(ValueError, match=f"nothing {missing} to rank"):
        sweep_tally(tally([np.zeros((2, 2))], [mask((2, 2), np.bool_)]))
