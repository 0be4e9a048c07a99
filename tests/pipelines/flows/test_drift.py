import numpy as np
import pytest

from pipelines.flows.drift import measure_drift
from pipelines.flows.settings import DriftConfig

CONFIG = DriftConfig(window=200, min_images=50, distance=0.2, p_value=1e-3)
NORMAL = np.random.default_rng(0).beta(2, 8, 400)
"""Scores of normal images."""


def test_images_like_those_of_the_test_do_not_drift():
    drift = measure_drift(CONFIG, np.random.default_rng(1).beta(2, 8, 200), NORMAL)

    assert not drift.drifted
    assert drift.distance < 0.2
    assert (drift.images, drift.reference) == (200, 400)


@pytest.mark.parametrize("shift", [0.15, -0.1])
def test_a_shift_either_way_is_drift(shift):
    drift = measure_drift(CONFIG, np.random.default_rng(1).beta(2, 8, 200) + shift, NORMAL)

    assert drift.drifted
    assert drift.p_value <= 1e-3


def test_a_certain_but_small_distance_is_no_drift():
    many = np.random.default_rng(1).beta(2, 8, 20_000) + 0.02

    drift = measure_drift(CONFIG.model_copy(update={"window": 20_000}), many, np.tile(NORMAL, 50))

    assert drift.p_value <= 1e-3
    assert not drift.drifted


def test_only_the_last_images_count():
    late = np.random.default_rng(1).beta(2, 8, 200)

    drift = measure_drift(CONFIG, np.concatenate([np.full(5000, 0.9), late]), NORMAL)

    assert not drift.drifted


@pytest.mark.parametrize(("late", "reference"), [(49, 400), (200, 49)])
def test_few_images_say_nothing(late, reference):
    drift = measure_drift(CONFIG, np.full(late, 0.9), NORMAL[:reference])

    assert (drift.distance, drift.p_value, drift.drifted) == (None, None, False)
