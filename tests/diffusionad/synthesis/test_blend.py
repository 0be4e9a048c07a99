import numpy as np
import pytest
from scipy import ndimage

from diffusionad.synthesis import blend as blend_module
from diffusionad.synthesis.appearance import Appearance
from diffusionad.synthesis.blend import blend_anomaly, draw_anomaly
from diffusionad.synthesis.seamless import seamless_blend
from diffusionad.synthesis.textures import Textures

SEEDS = range(60)


def draw(config, normal, foreground, textures, seed):
    return draw_anomaly(config, normal, foreground, textures, np.random.default_rng(seed))


def test_outside_the_mask_the_image_is_bit_for_bit_the_same(config, normal, foreground, textures):
    for seed in SEEDS:
        synthetic = draw(config, normal, foreground, textures, seed)
        assert synthetic.image[~synthetic.mask].tobytes() == normal[~synthetic.mask].tobytes()


def test_the_mask_is_never_empty_and_lies_inside_the_foreground(config, normal, foreground, textures):
    for seed in SEEDS:
        mask = draw(config, normal, foreground, textures, seed).mask
        assert mask.any()
        assert not (mask & ~foreground).any()


def test_almost_every_anomaly_can_be_seen(config, normal, foreground, textures):
    synthetics = [draw(config, normal, foreground, textures, seed) for seed in SEEDS]

    change = [np.abs(s.image - normal)[s.mask].mean() for s in synthetics]

    assert np.mean(np.asarray(change) > 0.02) > 0.9


def test_a_synthetic_image_stays_in_the_unit_interval(config, foreground, textures):
    for value in (0.0, 1.0):
        flat = np.full((64, 64, 3), value, np.float32)
        for seed in SEEDS:
            synthetic = draw(config, flat, foreground, textures, seed)
            assert synthetic.image.dtype == np.float32
            assert synthetic.image.min() >= 0
            assert synthetic.image.max() <= 1


def test_the_same_generator_gives_the_same_bytes(config, normal, foreground, textures):
    first, second = (draw(config, normal, foreground, textures, 7) for _ in range(2))

    assert first.image.tobytes() == second.image.tobytes()
    assert first.mask.tobytes() == second.mask.tobytes()


def test_the_normal_image_is_not_written_to(config, normal, foreground, textures):
    before = normal.copy()
    for seed in SEEDS:
        draw(config, normal, foreground, textures, seed)

    np.testing.assert_array_equal(normal, before)


@pytest.mark.parametrize("opacity", [0.2, 0.5, 0.8])
def test_inside_the_mask_the_change_is_what_eq_12_says(normal, foreground, rng, opacity):
    """S - N = (1 - beta) M (A - N)."""
    appearance = rng.random(normal.shape, dtype=np.float32)

    change = blend_anomaly(normal, foreground, appearance, opacity) - normal

    expected = (1 - opacity) * foreground[..., None] * (appearance - normal)
    np.testing.assert_allclose(change, expected, atol=1e-6)


def test_blending_white_with_white_is_white():
    white = np.ones((1, 1, 3), np.float32)

    for opacity in np.linspace(0.2, 0.8, 500):
        assert blend_anomaly(white, np.ones((1, 1), dtype=bool), white, opacity).max() <= 1


def test_the_drawn_opacity_weights_the_normal_image_and_keeps_its_range(
    config, normal, foreground, textures, monkeypatch
):
    """With a known appearance, eq. (12) can be solved for beta."""
    monkeypatch.setattr(blend_module, "draw_appearance", lambda *_: Appearance(1 - normal, is_pasted=True))
    opacities = []
    for seed in SEEDS:
        synthetic = draw(config, normal, foreground, textures, seed)
        weight = ((synthetic.image - (1 - normal)) / (2 * normal - 1))[synthetic.mask & (normal[..., 0] > 0.8), 0]
        opacities.extend(weight[:1].tolist())

    assert min(opacities) >= 0.2 - 1e-5
    assert max(opacities) <= 0.8 + 1e-5
    assert min(opacities) < 0.3
    assert max(opacities) > 0.7


def test_images_need_not_be_square(config, rng):
    bank = Textures(config.textures, (48, 80))

    synthetic = draw_anomaly(config, rng.random((48, 80, 3), np.float32), np.ones((48, 80), dtype=bool), bank, rng)

    assert synthetic.image.shape == (48, 80, 3)


def test_an_empty_foreground_is_refused(config, normal, textures, rng):
    with pytest.raises(ValueError, match="foreground is empty"):
        draw_anomaly(config, normal, np.zeros((64, 64), dtype=bool), textures, rng)


def test_different_sizes_are_refused(config, normal, textures, rng):
    with pytest.raises(ValueError, match="must have one size"):
        draw_anomaly(config, normal, np.ones((32, 64), dtype=bool), textures, rng)


def test_a_soft_anomaly_fades_in_from_its_border(config, foreground, textures):
    """A white image turned black by shading: the deeper inside, the darker."""
    white = np.ones((64, 64, 3), np.float32)
    shade = config.appearance.shade.model_copy(
        update={"strength": (1.0, 1.0), "unevenness": 0.0, "dark_probability": 1.0}
    )
    weights = config.appearance.weights.model_copy(update={"texture": 0.0, "itself": 0.0, "shade": 1.0})
    plain = config.masks.weights.model_copy(update={"perlin": 0.0, "thin": 0.0, "shapes": 1.0})
    soft = config.model_copy(
        update={
            "opacity": (0.0, 0.0),
            "soft_edge_probability": 1.0,
            "soft_edge_fraction": (0.1, 0.1),
            "masks": config.masks.model_copy(update={"weights": plain}),
            "appearance": config.appearance.model_copy(update={"shade": shade, "weights": weights}),
        }
    )
    sharp = soft.model_copy(update={"soft_edge_probability": 0.0})

    for seed in range(10):
        faded, hard = draw(soft, white, foreground, textures, seed), draw(sharp, white, foreground, textures, seed)
        depth_px = ndimage.distance_transform_edt(faded.mask)
        np.testing.assert_allclose(faded.image[..., 0], 1 - np.minimum(depth_px / 6.4, 1), atol=1e-5)
        np.testing.assert_array_equal(hard.image[..., 0], 1 - faded.mask)


def test_settings_that_draw_no_soft_edge_change_no_other_draw(config, normal, foreground, textures):
    other = config.model_copy(update={"soft_edge_fraction": (0.5, 0.5)})

    for seed in range(10):
        first, second = (draw(c, normal, foreground, textures, seed) for c in (config, other))
        assert first.image.tobytes() == second.image.tobytes()


def test_pasted_anomalies_are_sewn_in_as_often_as_asked_for_and_shades_never(
    config, normal, foreground, textures, monkeypatch
):
    """Whether one was sewn shows against the same draw without sewing."""
    always = config.model_copy(update={"seamless_probability": 1.0})
    halved = config.model_copy(update={"seamless_probability": 0.5})
    for is_pasted, rates in ((True, (0.0, 0.3, 1.0)), (False, (0.0, 0.0, 0.0))):
        appearance = Appearance(np.zeros_like(normal), is_pasted)
        monkeypatch.setattr(blend_module, "draw_appearance", lambda *_, drawn=appearance: drawn)
        plain = [draw(config, normal, foreground, textures, seed) for seed in SEEDS]
        for settings, rate in zip((config, halved, always), rates, strict=True):
            drawn = [draw(settings, normal, foreground, textures, seed) for seed in SEEDS]
            assert all(np.array_equal(a.mask, b.mask) for a, b in zip(plain, drawn, strict=True))
            sewn = np.mean([not np.array_equal(a.image, b.image) for a, b in zip(plain, drawn, strict=True)])
            assert rate <= sewn <= rate + 0.4


def test_a_sewn_anomaly_is_blended_as_any_other(config, normal, foreground, textures, monkeypatch):
    appearance = np.random.default_rng(3).random(normal.shape, dtype=np.float32)
    monkeypatch.setattr(blend_module, "draw_appearance", lambda *_: Appearance(appearance, is_pasted=True))
    always = config.model_copy(update={"seamless_probability": 1.0, "opacity": (0.25, 0.25)})

    synthetic = draw(always, normal, foreground, textures, 0)

    expected = blend_anomaly(normal, synthetic.mask, seamless_blend(normal, synthetic.mask, appearance), 0.25)
    np.testing.assert_array_equal(synthetic.image, expected)
