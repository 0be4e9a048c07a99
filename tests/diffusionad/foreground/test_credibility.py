import numpy as np
import pytest

from diffusionad.foreground.colours import colours
from diffusionad.foreground.credibility import credibility


def test_an_object_cut_out_exactly_is_nearly_certain(disc, photograph):
    assert credibility(colours(photograph(disc(), 0.2, 0.8), 0.3), disc()) > 0.9


@pytest.mark.parametrize("wrong", [{"x": 65}, {"radius": 32}, {"radius": 12}], ids=["beside it", "too large", "inside"])
def test_a_wrong_outline_is_less_credible(disc, photograph, wrong):
    picture = colours(photograph(disc(), 0.2, 0.8), 0.3)

    assert credibility(picture, disc(**wrong)) < 0.7 * credibility(picture, disc())


def test_a_mask_along_the_frame_is_less_credible_than_its_complement(disc, photograph):
    picture = colours(photograph(disc(), 0.2, 0.8), 0.3)

    assert credibility(picture, ~disc()) < 0.05


def test_half_of_a_texture_is_not_credible():
    texture = np.random.default_rng(0).random((75, 100, 1)) * np.ones(3)
    mask = np.zeros((75, 100), dtype=bool)
    mask[20:50, 20:70] = True

    assert credibility(colours(texture.astype(np.float32), 0.3), mask) < 0.05


@pytest.mark.parametrize("value", [False, True])
def test_nothing_and_everything_are_no_object(disc, photograph, value):
    assert credibility(colours(photograph(disc(), 0.2, 0.8), 0.3), np.full((75, 100), value)) == 0


def test_a_plain_picture_holds_no_object(disc):
    assert credibility(np.zeros((75, 100, 3)), disc()) == 0


def test_of_two_objects_the_blurred_one_is_less_credible_though_it_is_larger():
    rows, columns = np.mgrid[:75, :100]
    sharp = np.hypot(rows - 37, columns - 20) < 14
    blurred = np.clip((22 - np.hypot(rows - 37, columns - 66)) / 24 + 0.5, 0, 1)
    grey = 0.2 + 0.6 * np.maximum(sharp, blurred)
    picture = colours(np.repeat(grey[..., None], 3, axis=2).astype(np.float32), 0.3)

    assert credibility(picture, blurred > 0.5) < credibility(picture, sharp)
