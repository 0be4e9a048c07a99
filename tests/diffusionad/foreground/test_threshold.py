import numpy as np
import pytest

from diffusionad.foreground.threshold import far_pixels, threshold_cut

YELLOW, SHADOW, NUT = (0.85, 0.8, 0.25), (0.55, 0.52, 0.16), (0.75, 0.66, 0.5)


def cut(config, image, rule="auto"):
    rule = config.threshold.model_copy(update={"rule": rule})
    return threshold_cut(rule, config.scene, config.tidy, image)


@pytest.mark.parametrize("rule", ["otsu", "triangle", "border_colour", "auto"])
@pytest.mark.parametrize(("background", "object_"), [(0.15, 0.8), (0.85, 0.2)], ids=["bright object", "dark object"])
def test_the_border_decides_which_side_is_the_object(config, disc, photograph, overlap, rule, background, object_):
    assert overlap(cut(config, photograph(disc(), background, object_), rule).mask, disc()) > 0.95


def test_the_colour_of_the_border_tells_an_object_from_its_shadow_and_grey_does_not(config, disc, photograph, overlap):
    image = np.where(disc(x=55)[..., None], SHADOW, YELLOW)
    image = photograph(disc(), image, NUT, noise=0.01)

    by_colour, by_grey = (overlap(cut(config, image, rule).mask, disc()) for rule in ("border_colour", "otsu"))

    assert by_colour > 0.95
    assert by_grey < 0.5


def test_auto_takes_the_most_credible_of_the_three(config, disc, photograph):
    image = photograph(disc(), np.where(disc(x=55)[..., None], SHADOW, YELLOW), NUT, noise=0.01)
    cuts = [cut(config, image, rule) for rule in ("otsu", "triangle", "border_colour")]

    chosen = cut(config, image)

    assert chosen.credibility == max(each.credibility for each in cuts) > min(each.credibility for each in cuts)


@pytest.mark.parametrize("rule", ["otsu", "triangle", "border_colour", "auto"])
@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_an_image_without_contrast_holds_nothing(config, rule, value):
    found = cut(config, np.full((40, 50, 3), value, np.float32), rule)

    assert not found.mask.any()
    assert found.credibility == 0


def test_far_is_what_lies_above_the_gap():
    distance = np.asarray([0.0, 0.1, 0.2, 5.0, 5.1])

    np.testing.assert_array_equal(far_pixels(distance), [False, False, False, True, True])
