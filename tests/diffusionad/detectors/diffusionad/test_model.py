import pytest
import torch
from pydantic import ValidationError

from diffusionad.base import image_score
from diffusionad.detectors.diffusionad.reference import segmenter_state, unet_state
from diffusionad.diffusion.process import predict_x_0, q_sample
from toys.detectors import describe_detector, read_config

MODES = ("iterative", "ddim", "one_step", "norm_guided")
GOLDEN = {
    "schedule": {"num_timesteps": 1000, "beta_start": 1e-4, "beta_end": 2e-2},
    "guidance": {
        "t_s": 200,
        "t_b": 400,
        "tau": 300,
        "scale": 1.0,
        "t_s_range": None,
        "local": {"exponent": 0.0, "window_fraction": 0.0},
    },
    "unet": {
        "base_channels": 32,
        "channel_multipliers": [1, 1, 2],
        "num_res_blocks": 2,
        "attention_resolutions": [32, 16, 8],
        "num_heads": 4,
        "norm_groups": 32,
        "dropout": 0.0,
        "stem": 1,
    },
    "segmenter_input": "pixels",
    "segmenter": {"base_channels": 8, "channel_multipliers": [1, 2, 4, 8, 8, 8], "stem": 1},
    "feature_segmenter": {"widths": [4, 4, 4, 4]},
}


def build(section, size=(16, 16)):
    """A model in evaluation mode; the last layer of its U-Net is random, as all others, and not zero."""
    with torch.random.fork_rng([]):
        torch.manual_seed(0)
        model = describe_detector(read_config(section), size).build()
        torch.nn.init.normal_(model.reconstructor.last[-1].weight, std=0.05)
    return model.eval()


def reconstruct(model, x_0, noise, mode=None):
    """The reconstruction of x_0, whose range is that of images in these tests, clamped to it."""
    assert model.config.value_range == "unit"
    return model.infer(x_0, noise, mode or next(iter(model.modes))).reconstruction


def drawn(noise, t_s=20, t_b=40, count=2):
    """What a training step draws at the timesteps and with the noise of inference."""
    draws = {"t_s": torch.full((count,), t_s), "t_b": torch.full((count,), t_b)}
    return draws | {"epsilon_s": noise(t_s), "epsilon_b": noise(t_b), "dropout_mask": torch.zeros(count).bool()}


def whole(draws):
    """All images of a step are denoised."""
    return torch.ones(len(draws["t_s"])).bool()


@pytest.fixture
def x_0():
    return torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def count_images(model, images):
    """Note how many images go through the denoiser at a time; the form, a copy, has the same hook."""
    model.reconstructor.first.register_forward_pre_hook(lambda _module, inputs: images.append(len(inputs[0])))


def keyed_noise(x_0):
    """The same noise for the same key."""
    return lambda key: torch.randn(x_0.shape, generator=torch.Generator().manual_seed(key + 1000))


def test_image_to_score_is_that_of_the_authors(tiny_model, golden, golden_weights):
    model = build(tiny_model | GOLDEN, (32, 32))
    for network, ours, translate in (
        ("unet", model.reconstructor, unet_state),
        ("seg", model.segmenter, segmenter_state),
    ):
        ours.load_state_dict(translate({key: torch.from_numpy(v) for key, v in golden_weights(network).items()}))
    noise = {200: torch.from_numpy(golden["noise_s"]), 400: torch.from_numpy(golden["noise_b"])}
    x_0 = torch.from_numpy(golden["x0"])

    with torch.no_grad():
        output = model.infer(x_0, noise.__getitem__, "norm_guided")
        draws = drawn(noise.__getitem__, 200, 400, len(x_0))
        x_0_hat = model(x_0, draws, whole(draws)).x_0_hat
    logits, score = output.mask_logits[:, None], image_score(output, 50 / 1024)

    torch.testing.assert_close(x_0_hat, torch.from_numpy(golden["x0_guided"]), atol=1e-4, rtol=0)
    torch.testing.assert_close(torch.sigmoid(logits), torch.from_numpy(golden["anomaly_map"]), atol=1e-4, rtol=0)
    torch.testing.assert_close(score.float(), torch.from_numpy(golden["image_score"]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("mode", MODES)
def test_every_mode_reconstructs_within_the_clamp(tiny_model, x_0, mode):
    model = build(tiny_model | {"mode": mode})

    with torch.no_grad():
        x_0_hat, again = (reconstruct(model, x_0, keyed_noise(x_0)) for _ in range(2))

    assert x_0_hat.shape == x_0.shape
    assert float(x_0_hat.abs().max()) <= 1
    assert torch.equal(x_0_hat, again)


def test_a_net_that_draws_the_image_predicts_the_noise_around_it(tiny_model, x_0):
    """What eq. (6) makes of that noise is the image that was drawn, and its noise is exact where the image is."""
    model, t, epsilon = build(tiny_model | {"prediction": "x_0"}).double(), torch.tensor([5, 99]), keyed_noise(x_0)(0)
    x_t = q_sample(model.schedule, x_0.double(), t, epsilon.double())

    with torch.no_grad():
        drawn = predict_x_0(model.schedule, x_t, t, model.denoise(x_t, t))
        expected = model.reconstructor(x_t, t)
        model.reconstructor.forward = lambda x_t, t: x_0.double()
        exact = model.denoise(x_t, t)

    torch.testing.assert_close(drawn, expected, atol=1e-10, rtol=0)
    torch.testing.assert_close(exact, epsilon.double(), atol=1e-10, rtol=0)


def test_guidance_by_pixel_and_by_image_change_the_reconstruction_and_take_as_many_passes(tiny_model, x_0):
    local = {"exponent": 1.0, "window_fraction": 0.2}
    answers, images = [], []
    for change in ({}, {"local": local}, {"t_s_range": [5, 35]}):
        model = build(tiny_model | {"guidance": tiny_model["guidance"] | change})
        count_images(model, images)
        with torch.no_grad():
            answers.append(reconstruct(model, x_0, keyed_noise(x_0)))

    assert sum(images) == 3 * model.modes["norm_guided"].passes * len(x_0)
    assert not torch.allclose(answers[1], answers[0])
    assert not torch.allclose(answers[2], answers[0])


def test_training_with_guidance_by_pixel_sees_what_inference_will_see(tiny_model, x_0):
    local = {"exponent": 1.0, "window_fraction": 0.2}
    model = build(tiny_model | {"guidance": tiny_model["guidance"] | {"local": local}})
    noise = keyed_noise(x_0)
    draws = drawn(noise)

    with torch.no_grad():
        output = model(x_0, draws, whole(draws))

        torch.testing.assert_close(output.x_0_hat.clamp(0, 1), reconstruct(model, x_0, noise), atol=1e-5, rtol=0)


def test_guided_without_scale_is_one_step(tiny_model, x_0):
    model = build(tiny_model | {"guidance": tiny_model["guidance"] | {"scale": 0.0}})

    with torch.no_grad():
        guided, one_step = (reconstruct(model, x_0, keyed_noise(x_0), name) for name in ("norm_guided", "one_step"))

    torch.testing.assert_close(guided, one_step, atol=1e-5, rtol=0)


def test_one_step_starts_at_the_small_timestep(tiny_model, x_0):
    model = build(tiny_model)
    t = torch.tensor([20, 20])

    with torch.no_grad():
        one_step = reconstruct(model, x_0, keyed_noise(x_0), "one_step")
        x_t = q_sample(model.schedule, x_0, t, keyed_noise(x_0)(20))
        expected = predict_x_0(model.schedule, x_t, t, model.reconstructor(x_t, t)).clamp(0, 1)

    torch.testing.assert_close(one_step, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", ["ddim", "iterative"])
def test_walks_start_at_the_big_timestep(tiny_model, x_0, mode):
    """A denoiser that knows the noise of t_b walks back to the image."""
    model = build(tiny_model)

    def knows(x_t, t):
        alpha_bar_t = model.schedule.alpha_bar(t, like=x_t)
        return (x_t - alpha_bar_t.sqrt() * x_0) / (1 - alpha_bar_t).sqrt()

    seen = []
    model.reconstructor.forward = lambda x_t, t: seen.append((int(t[0]), x_t)) or knows(x_t, t)
    x_0_hat = reconstruct(model, x_0, keyed_noise(x_0), mode)

    assert seen[0][0] == 40
    torch.testing.assert_close(
        seen[0][1], q_sample(model.schedule, x_0, torch.tensor([40, 40]), keyed_noise(x_0)(40)), atol=1e-6, rtol=0
    )
    torch.testing.assert_close(x_0_hat, x_0, atol=1e-3, rtol=0)


def test_its_own_mode_comes_first(tiny_model):
    assert list(build(tiny_model | {"mode": "ddim"}).modes) == ["ddim", "norm_guided", "one_step", "iterative"]


@pytest.mark.parametrize("mode", MODES)
def test_training_sees_what_inference_will_see(tiny_model, x_0, mode):
    """At the timesteps of inference and with its noise, the pass of training ends in the same logits."""
    model = build(tiny_model | {"mode": mode})
    noise = keyed_noise(x_0)
    draws = drawn(noise)
    if mode in ("iterative", "ddim"):
        generator = torch.Generator().manual_seed(80)

        def noise(_key):
            return torch.randn(x_0.shape, generator=generator)

    with torch.no_grad():
        trained = model(x_0, draws, whole(draws)).mask_logits[:, 0]
        inferred = model.infer(x_0, noise, mode).mask_logits

    torch.testing.assert_close(trained, inferred, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("mode", "reaches"), [("one_step", True), ("norm_guided", True), ("iterative", False), ("ddim", False)]
)
def test_the_segmentation_loss_reaches_the_reconstruction(tiny_model, x_0, mode, reaches):
    model = build(tiny_model | {"mode": mode})
    draws = model.phases[0].draw(2, torch.Generator().manual_seed(0))

    model(x_0, draws, whole(draws)).mask_logits.sum().backward()

    gradients = [weight.grad for weight in model.reconstructor.parameters() if weight.grad is not None]
    assert any(float(gradient.abs().max()) > 0 for gradient in gradients) == reaches


@pytest.mark.parametrize(("value_range", "low"), [("unit", 0.0), ("symmetric", -1.0)])
def test_the_value_range_is_left_as_it_was_entered(tiny_model, x_0, value_range, low):
    model = build(tiny_model | {"value_range": value_range})

    inside = model.to_range(torch.tensor([0.0, 1.0]))

    assert inside.tolist() == [low, 1.0]
    torch.testing.assert_close(model.from_range(model.to_range(x_0)), x_0, atol=1e-6, rtol=0)


def test_timesteps_are_drawn_on_both_sides_of_tau(tiny_model):
    draws = build(tiny_model).phases[0].draw(500, torch.Generator().manual_seed(0))

    assert (int(draws["t_s"].min()), int(draws["t_s"].max())) == (0, 29)
    assert (int(draws["t_b"].min()), int(draws["t_b"].max())) == (30, 99)
    assert not torch.equal(draws["epsilon_s"], draws["epsilon_b"])


def test_reconstructions_are_dropped_at_the_rate_that_was_asked_for(tiny_model):
    generator = torch.Generator().manual_seed(0)

    for rate in (0.0, 0.25):
        phase = build(tiny_model | {"reconstruction_dropout": rate}).phases[0]
        dropped = phase.draw(1000, generator)["dropout_mask"]
        assert float(dropped.float().mean()) == pytest.approx(rate, abs=0.05 * (rate > 0))


def test_the_same_generator_draws_the_same(tiny_model):
    first, second = (build(tiny_model).phases[0].draw(2, torch.Generator().manual_seed(7)) for _ in range(2))

    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"t_s": 40}, "guidance needs t_s < t_b < num_timesteps, got t_s=40 t_b=40"),
        ({"t_b": 100}, "guidance needs t_s < t_b < num_timesteps"),
        ({"tau": 100}, "guidance.tau must be below num_timesteps, got 100 and 100"),
        ({"t_s_range": [30, 20]}, r"t_s_range must rise and end below t_b, got \[30, 20\] with t_b=40"),
        ({"t_s_range": [30, 40]}, "t_s_range must rise and end below t_b"),
    ],
)
def test_timesteps_out_of_order_are_refused(tiny_model, change, text):
    with pytest.raises(ValidationError, match=text):
        read_config(tiny_model | {"guidance": tiny_model["guidance"] | change})


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({}, r"`unet` halves an image down to 1/4; \(18, 16\) is not divisible by that"),
        ({"segmenter": {"base_channels": 4, "channel_multipliers": [1] * 4, "stem": 2}}, "`segmenter` .* 1/16"),
    ],
)
def test_a_size_that_a_network_cannot_halve_is_refused(tiny_model, change, text):
    section = tiny_model | {"segmenter": {"base_channels": 4, "channel_multipliers": [1, 1], "stem": 1}} | change
    size = (18, 16) if change.get("segmenter") is None else (24, 24)

    with pytest.raises(ValueError, match=text):
        describe_detector(read_config(section), size).build()


def test_a_dropped_reconstruction_is_replaced_by_the_image_for_the_segmenter(tiny_model):
    model = describe_detector(read_config(tiny_model), (32, 32)).build().eval()
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    draws = model.phases[0].draw(2, torch.Generator().manual_seed(1)) | {"dropout_mask": torch.tensor([True, False])}

    with torch.no_grad():
        output = model(images, draws, whole(draws))
        x_0 = model.to_range(images)
        expected = model.segment(x_0, torch.stack([x_0[0], output.x_0_hat[1]]))

    torch.testing.assert_close(output.mask_logits, expected)
    assert not torch.equal(output.x_0_hat[0], x_0[0])


def test_predicting_the_image_or_its_noise_is_one_thing(tiny_model):
    """A net that predicts x_0 implies the noise that makes eq. (6) give that x_0 back."""
    model = describe_detector(read_config(tiny_model | {"prediction": "x_0"}), (32, 32)).build()
    x_t, t = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(0)), torch.tensor([5, 70])
    answer = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    model.reconstructor.forward = lambda _x_t, _t: answer

    epsilon_hat = model.denoise(x_t, t)

    torch.testing.assert_close(predict_x_0(model.schedule, x_t, t, epsilon_hat), answer, atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", MODES)
def test_the_denoiser_runs_as_often_as_the_model_says(tiny_model, x_0, mode):
    model = build(tiny_model)
    images = []
    count_images(model, images)

    with torch.no_grad():
        reconstruct(model, x_0, keyed_noise(x_0), mode)

    assert model.modes[mode].passes == sum(images) / len(x_0)


def test_a_segmenter_of_features_depends_on_the_reconstruction_and_on_the_weights_it_starts_from(tiny_model):
    model = build(tiny_model | {"segmenter_input": "features"}, (32, 32))
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    x_0 = model.to_range(images)

    with torch.inference_mode():
        before = model.segment(x_0, x_0.flip(0))
        same = model.segment(x_0, x_0)
        model.phases[0].prepare()
        after = model.segment(x_0, x_0.flip(0))

    assert before.shape == (2, 1, 32, 32)
    assert not torch.allclose(before, same)
    assert not torch.allclose(before, after)


def test_a_segmenter_of_features_is_refused_for_grey_models(tiny_model):
    with pytest.raises(ValueError, match="needs image_channels 3, got 1"):
        read_config(tiny_model | {"segmenter_input": "features", "image_channels": 1})
