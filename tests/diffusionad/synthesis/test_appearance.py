import numpy as np
import pytest
from pydantic import ValidationError

from diffusionad.synthesis.appearance import AppearanceWeights, draw_appearance, shade, shuffle_strips
from diffusionad.synthesis.textures import Textures

SOURCES = ("texture", "itself", "shade", "moved", "warped", "smeared", "stained")


def only(config, source, count=3):
    weights = AppearanceWeights(**{**dict.fromkeys(SOURCES, 0.0), source: 1.0})
    augmenters = config.appearance.augmenters.model_copy(update={"count": count})
    return config.appearance.model_copy(update={"weights": weights, "augmenters": augmenters})


@pytest.mark.parametrize("source", SOURCES)
def test_an_appearance_has_the_shape_type_and_range_of_an_image(config, source, normal, textures):
    for seed in range(20):
        appearance, _ = draw_appearance(only(config, source), normal, textures, np.random.default_rng(seed))

        assert appearance.shape == normal.shape
        assert appearance.dtype == np.float32
        assert appearance.min() >= 0
        assert appearance.max() <= 1 + 1e-6


@pytest.mark.parametrize("source", SOURCES)
def test_on_a_grey_image_every_appearance_is_grey(config, source, normal, textures):
    grey = np.repeat(normal[..., :1], 3, axis=2)
    for seed in range(20):
        appearance, _ = draw_appearance(only(config, source), grey, textures, np.random.default_rng(seed))
        assert np.ptp(appearance, axis=2).max() == 0


def test_on_a_coloured_image_textures_keep_their_colours(config, normal, textures):
    appearances = [
        draw_appearance(only(config, "texture"), normal, textures, np.random.default_rng(s)).image for s in range(9)
    ]

    assert max(np.ptp(a, axis=2).max() for a in appearances) > 0.1


def test_without_augmenters_a_texture_is_one_of_the_bank(config, normal, rng):
    bank = Textures(config.textures.model_copy(update={"count": 1}), (64, 64))
    texture = bank.draw(np.random.default_rng(0))

    appearance, _ = draw_appearance(only(config, "texture", count=0), normal, bank, rng)

    assert any(np.array_equal(appearance, texture[::i, ::j]) for i in (1, -1) for j in (1, -1))


def test_what_replaces_the_image_is_told_from_what_changes_it(config, normal, textures, rng):
    pasted = [source for source in SOURCES if draw_appearance(only(config, source), normal, textures, rng).is_pasted]

    assert pasted == ["texture", "itself", "moved"]


@pytest.mark.parametrize("size", [(64, 64), (30, 45)])
def test_shuffled_strips_hold_the_same_pixels_elsewhere(size, rng):
    image = rng.random((*size, 3), dtype=np.float32)

    shuffled = shuffle_strips(image, 8, rng)

    assert not np.array_equal(shuffled, image)
    np.testing.assert_array_equal(np.sort(shuffled, axis=None), np.sort(image, axis=None))


def test_strips_move_as_a_whole_and_even_columns_come_first(rng):
    strip_of_column = np.repeat(np.arange(8), 4)
    image = np.broadcast_to(strip_of_column[None, :, None], (32, 32, 3)).astype(np.float32)

    order = shuffle_strips(image, 8, rng)[0, ::4, 0]

    assert sorted(order[:4].tolist()) == [0, 2, 4, 6]
    assert sorted(order[4:].tolist()) == [1, 3, 5, 7]


@pytest.mark.parametrize(("dark_probability", "sign"), [(1.0, -1), (0.0, 1)], ids=["darker", "brighter"])
def test_shade_moves_every_pixel_one_way(config, normal, rng, dark_probability, sign):
    settings = config.appearance.shade.model_copy(update={"dark_probability": dark_probability})

    assert (sign * (shade(settings, normal, rng) - normal) >= -1e-6).all()


def test_shade_at_full_and_even_strength_is_black(config, normal, rng):
    settings = config.appearance.shade.model_copy(
        update={"dark_probability": 1.0, "strength": (1.0, 1.0), "unevenness": 0.0}
    )

    np.testing.assert_allclose(shade(settings, normal, rng), 0, atol=1e-6)


def test_even_shade_is_one_factor_and_uneven_shade_is_not(config, normal, rng):
    bright = 0.5 + normal / 2
    even, uneven = (
        shade(
            config.appearance.shade.model_copy(
                update={"dark_probability": 1.0, "strength": (0.5, 0.5), "unevenness": unevenness}
            ),
            bright,
            rng,
        )
        / bright
        for unevenness in (0.0, 0.8)
    )

    assert np.ptp(even) < 1e-5
    assert np.ptp(uneven) > 0.1


def test_weights_that_choose_nothing_are_refused():
    with pytest.raises(ValidationError, match="at least one weight"):
        AppearanceWeights(**dict.fromkeys(SOURCES, 0.0))
