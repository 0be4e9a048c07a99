import numpy as np
import pytest
from scipy import ndimage

from diffusionad.synthesis import augmenters
from diffusionad.synthesis.augmenters import AUGMENTERS, augment

SEEDS = range(20)


@pytest.fixture
def numbers(config):
    return config.appearance.augmenters


def images():
    rng = np.random.default_rng(0)
    ramp = np.repeat(np.linspace(0, 1, 40, dtype=np.float32)[None, :, None], 24, axis=0).repeat(3, axis=2)
    return {
        "noise": rng.random((24, 40, 3), dtype=np.float32),
        "ramp": ramp,
        "black": np.zeros((9, 16, 3), np.float32),
        "white": np.ones((9, 16, 3), np.float32),
    }


@pytest.mark.parametrize("image", images().values(), ids=images())
@pytest.mark.parametrize("augmenter", AUGMENTERS, ids=lambda a: a.__name__)
def test_every_augmenter_keeps_shape_type_range_and_its_input(augmenter, image, numbers):
    before = image.copy()
    for seed in SEEDS:
        result = augmenter(numbers, image, np.random.default_rng(seed))

        assert result.shape == image.shape
        assert result.dtype == np.float32
        assert result.min() >= 0
        assert result.max() <= 1
        np.testing.assert_array_equal(image, before)


@pytest.mark.parametrize("augmenter", AUGMENTERS, ids=lambda a: a.__name__)
def test_every_augmenter_does_something(augmenter, numbers):
    image = images()["noise"] * np.float32(0.8)

    assert any(not np.allclose(augmenter(numbers, image, np.random.default_rng(s)), image) for s in SEEDS)


@pytest.mark.parametrize(
    ("augmenter", "neutral"),
    [
        (augmenters.gamma, {"gamma": (1.0, 1.0)}),
        (augmenters.brightness, {"gain": (1.0, 1.0), "shift": (0.0, 0.0)}),
        (augmenters.sharpness, {"sharpness": (1.0, 1.0)}),
        (augmenters.hue_and_saturation, {"hue_deg": (0.0, 0.0), "saturation": (1.0, 1.0)}),
        (augmenters.solarize, {"solarize_probability": 0.0}),
        (augmenters.posterize, {"posterize_levels": (1 << 20, 1 << 20)}),
        (augmenters.rotate, {"rotation_deg": (0.0, 0.0)}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_neutral_numbers_leave_the_image_as_it_is(augmenter, neutral, numbers, rng):
    image = images()["noise"]

    np.testing.assert_allclose(augmenter(numbers.model_copy(update=neutral), image, rng), image, atol=2e-6)


def test_no_sharpness_is_the_smoothed_image(numbers, rng):
    kernel = np.asarray([[1, 1, 1], [1, 5, 1], [1, 1, 1]])[..., None] / 13
    image = images()["noise"]

    smooth = augmenters.sharpness(numbers.model_copy(update={"sharpness": (0.0, 0.0)}), image, rng)

    np.testing.assert_allclose(smooth, ndimage.convolve(image, kernel, mode="nearest"), atol=1e-5)


def test_inverting_twice_is_nothing(numbers, rng):
    image = images()["noise"]

    np.testing.assert_allclose(
        augmenters.invert(numbers, augmenters.invert(numbers, image, rng), rng), image, atol=1e-6
    )


def test_posterize_leaves_the_levels_asked_for(numbers, rng):
    three = numbers.model_copy(update={"posterize_levels": (3, 3)})

    assert np.unique(augmenters.posterize(three, images()["noise"], rng)).tolist() == [0, 0.5, 1]


def test_equalize_makes_every_value_equally_common(numbers, rng):
    dark = images()["noise"] ** 3

    flat = augmenters.equalize(numbers, dark, rng)

    for level in (0.25, 0.5, 0.75):
        assert (flat <= level).mean() == pytest.approx(level, abs=0.05)


def test_autocontrast_without_cutoff_reaches_black_and_white_in_each_channel(numbers, rng):
    dull = 0.3 + images()["noise"] * np.asarray([0.1, 0.2, 0.3], np.float32)
    exact = numbers.model_copy(update={"autocontrast_cutoff": (0.0, 0.0)})

    result = augmenters.autocontrast(exact, dull, rng)

    np.testing.assert_allclose(result.min(axis=(0, 1)), 0, atol=0.02)
    np.testing.assert_allclose(result.max(axis=(0, 1)), 1, atol=0.02)


def test_autocontrast_clips_the_asked_part_at_either_end(numbers, rng):
    fifth = numbers.model_copy(update={"autocontrast_cutoff": (0.2, 0.2)})

    result = augmenters.autocontrast(fifth, np.random.default_rng(0).random((99, 99, 3), np.float32), rng)

    assert (result == 0).mean() == pytest.approx(0.2, abs=0.01)
    assert (result == 1).mean() == pytest.approx(0.2, abs=0.01)


@pytest.mark.parametrize("cutoff", [0.0, 0.2, 1.0])
def test_autocontrast_of_one_value_is_that_value(numbers, rng, cutoff):
    flat = np.full((8, 8, 3), 0.4, np.float32)
    config = numbers.model_copy(update={"autocontrast_cutoff": (cutoff, cutoff)})

    np.testing.assert_allclose(augmenters.autocontrast(config, flat, rng), flat, atol=1e-6)


def test_hue_and_saturation_leave_grey_alone(numbers):
    for seed in SEEDS:
        grey = images()["ramp"]
        result = augmenters.hue_and_saturation(numbers, grey, np.random.default_rng(seed))
        np.testing.assert_allclose(result, grey, atol=1e-6)


def test_a_third_of_a_turn_of_the_hue_swaps_the_primary_colours(numbers, rng):
    red = np.zeros((2, 2, 3), np.float32)
    red[..., 0] = 1
    turn = numbers.model_copy(update={"hue_deg": (120.0, 120.0), "saturation": (1.0, 1.0)})

    np.testing.assert_allclose(augmenters.hue_and_saturation(turn, red, rng)[0, 0], [0, 1, 0], atol=1e-6)


def test_a_quarter_turn_of_a_square_is_exact(numbers, rng):
    square = images()["noise"][:24, :24]
    turn = numbers.model_copy(update={"rotation_deg": (90.0, 90.0)})

    result = augmenters.rotate(turn, square, rng)

    assert any(np.array_equal(result, np.rot90(square, k)) for k in (1, 3))


def test_no_augmenter_is_the_image_itself(numbers, rng):
    image = images()["noise"]

    assert augment(numbers.model_copy(update={"count": 0}), image, rng) is image


def test_all_ten_are_drawn_without_replacement(numbers, rng, monkeypatch):
    calls = []
    monkeypatch.setattr(
        augmenters, "AUGMENTERS", [lambda c, image, r, i=i: calls.append(i) or image for i in range(10)]
    )

    augment(numbers.model_copy(update={"count": 10}), images()["noise"], rng)

    assert sorted(calls) == list(range(10))
