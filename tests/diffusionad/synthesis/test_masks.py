import numpy as np
import pytest
from pydantic import ValidationError

from diffusionad.synthesis.masks import MasksConfig, MaskWeights, draw_mask


def only(config, family):
    weights = MaskWeights(**{"perlin": 0.0, "thin": 0.0, "shapes": 0.0, "blobs": 0.0, family: 2.0})
    return config.masks.model_copy(update={"weights": weights})


def areas(masks: MasksConfig, draws=60):
    where = np.ones((64, 64), dtype=bool)
    return np.asarray([draw_mask(masks, where, np.random.default_rng(s)).mean() for s in range(draws)])


def test_each_family_draws_its_own_kind(config):
    """Median areas order the families: a line, blobs, a patch."""
    thin, perlin, shapes = (np.median(areas(only(config, f))) for f in ("thin", "perlin", "shapes"))

    assert thin < perlin < shapes
    assert thin < np.median(areas(only(config, "blobs"))) < shapes


def test_perlin_noise_that_finds_no_foreground_is_replaced_by_a_thin_mask(config):
    masks = only(config, "perlin")
    hopeless = masks.model_copy(update={"perlin": masks.perlin.model_copy(update={"threshold": 0.999})})
    speck = np.zeros((64, 64), dtype=bool)
    speck[10, 20] = True

    for seed in range(10):
        np.testing.assert_array_equal(draw_mask(hopeless, speck, np.random.default_rng(seed)), speck)


def test_a_mask_depends_on_the_generator_alone(config, foreground):
    first, second = (draw_mask(config.masks, foreground, np.random.default_rng(5)) for _ in range(2))

    np.testing.assert_array_equal(first, second)


def test_an_empty_foreground_is_refused(config, rng):
    with pytest.raises(ValueError, match="foreground is empty"):
        draw_mask(config.masks, np.zeros((8, 8), dtype=bool), rng)


def test_weights_that_choose_nothing_are_refused():
    with pytest.raises(ValidationError, match="at least one weight"):
        MaskWeights(perlin=0.0, thin=0.0, shapes=0.0, blobs=0.0)
