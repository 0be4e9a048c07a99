import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from diffusionad.runtime.scale import ScoreScale

scores = st.lists(st.floats(0, 1), min_size=1, max_size=30)


def reported(raw, normal, threshold):
    return ScoreScale(normal_scores=tuple(sorted(normal))).reported(torch.tensor(raw, dtype=torch.float64), threshold)


@given(raw=scores, normal=scores, threshold=st.floats(0, 1.001))
def test_it_rises_with_the_raw_score_and_parts_at_one_half_in_every_format(raw, normal, threshold):
    raw = sorted(raw)

    answer = reported(raw, normal, threshold).numpy()

    assert (np.diff(answer) >= 0).all()
    assert ((answer >= 0) & (answer <= 1)).all()
    for kept in (answer, answer.astype(np.float32)):
        assert list(kept >= 0.5) == [value >= threshold for value in raw]


def test_the_threshold_is_one_half_and_the_median_normal_image_one_quarter():
    assert reported([0.1, 0.3], [0.05, 0.1, 0.2], 0.3).tolist() == pytest.approx([0.25, 0.5])


def test_scores_that_lie_close_together_are_told_apart():
    answer = reported([0.508, 0.509, 0.51], [0.500, 0.5005, 0.501], 0.509)

    assert answer.tolist() == pytest.approx([0.447, 0.5, 0.553], abs=1e-3)


def test_certain_images_keep_their_order():
    raw = [0.9, 0.99, 0.999999, 1 - 1e-12, 1]

    answer = reported(raw, [0.01, 0.02], 0.05).tolist()

    assert answer == sorted(set(answer))
    assert answer[-1] == 1


@pytest.mark.parametrize("normal", [[0.0, 0.0], [1.0], [0.4, 0.4]])
def test_normal_images_that_all_score_alike_still_give_a_scale(normal):
    assert reported([0, 0.5, 1], normal, 0.5).tolist() == [0, 0.5, 1]


def test_the_share_of_normal_images_above_counts_those_that_score_higher():
    scale = ScoreScale(normal_scores=(0.1, 0.2, 0.2, 0.4))

    above = scale.normals_above(torch.tensor([0.0, 0.1, 0.2, 0.3, 0.9], dtype=torch.float64))

    assert above.tolist() == [1, 0.75, 0.25, 0.25, 0]
