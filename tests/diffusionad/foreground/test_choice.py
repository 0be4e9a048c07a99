import numpy as np
import pytest

from diffusionad.foreground.choice import choose_method


def test_an_object_on_a_plain_background_is_cut_at_a_threshold(config, disc, photograph):
    choice = choose_method(config, [photograph(disc(), 0.2, 0.8, seed=seed) for seed in range(3)])

    assert choice.method == "threshold"
    assert choice.credibility["threshold"] > 0.9
    assert f"threshold {choice.credibility['threshold']:.2f}" in choice.reason


def test_parts_in_the_same_place_under_heavy_noise_are_cut_from_the_median(config, disc, photograph):
    sample = [photograph(disc(), 0.42, 0.58, noise=0.3, seed=seed) for seed in range(15)]

    assert choose_method(config.model_copy(update={"min_credibility": 0.01}), sample).method == "median_background"


def test_a_texture_is_taken_whole(config):
    rng = np.random.default_rng(0)
    sample = [(rng.random((75, 100, 1)) * np.ones(3)).astype(np.float32) for _ in range(3)]

    choice = choose_method(config, sample)

    assert choice.method == "full"
    assert "no method reaches credibility 0.50 on 3 images" in choice.reason


@pytest.mark.parametrize("sizes", [[(75, 100)], [(75, 100), (60, 100)]], ids=["one image", "two sizes"])
def test_the_median_is_not_tried_where_it_cannot_be(config, sizes):
    sample = [np.random.default_rng(0).random((*size, 3), dtype=np.float32) for size in sizes]

    assert set(choose_method(config, sample).credibility) == {"threshold", "grabcut"}
