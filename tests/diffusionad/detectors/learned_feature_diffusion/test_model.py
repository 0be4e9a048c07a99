import pytest
import torch
from pydantic import ValidationError

from diffusionad.detector import Detector
from diffusionad.detectors.learned_feature_diffusion.denoiser import Learned, NetworkConfig
from diffusionad.detectors.learned_feature_diffusion.model import (
    LearnedFeatureDiffusion,
    LearnedFeatureDiffusionConfig,
)
from diffusionad.detectors.learned_feature_diffusion.network import FeatureUNet
from diffusionad.diffusion.schedule import ScheduleConfig
from toys.detectors import describe_detector
from toys.images import ToyImages
from toys.stripes import stripes, with_square

SIZE = (64, 64)
NETWORK = NetworkConfig(
    levels=(2, 4),
    channels=24,
    schedule=ScheduleConfig(num_timesteps=1000, beta_start=1e-4, beta_end=2e-2),
    t_s=342,
    t_b=542,
    scale=1.0,
    residual="whitened",
    smoothing_fraction=0.0,
    steps=60,
    crops_per_step=8,
    crop=8,
    learning_rate=2e-3,
    ema_decay=0.9,
)


def fitted(images, size=SIZE, **changes):
    network = NETWORK.model_copy(update=changes)
    config = LearnedFeatureDiffusionConfig(kind="learned_feature_diffusion", top_k_fraction=1e-4, denoiser=network)
    model = LearnedFeatureDiffusion(config, size)
    (phase,) = model.phases
    phase.fit(ToyImages(images), torch.Generator().manual_seed(0))
    model.calibrate([(stripes(6, seed=9), None)])
    return model.eval()


def detector_of(model):
    return Detector(model, describe_detector(model.config, model.image_size))


def features_of(model, images):
    judge = model.judges["denoiser"]
    features = dict(zip(model.levels, model.backbone(images), strict=True))
    return (judge.join(features, pooled=True) - judge.mean) / judge.deviation


def error_of(judge, x_0, step):
    """Mean squared error of v_hat for fixed noise."""
    epsilon = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(3))
    alpha_bar = float(judge.schedule.alphas_bar[step])
    x_t = alpha_bar**0.5 * x_0 + (1 - alpha_bar) ** 0.5 * epsilon
    v = alpha_bar**0.5 * epsilon - (1 - alpha_bar) ** 0.5 * x_0
    v_hat = judge.network(x_t, torch.full((1,), step), judge.network.places_of(x_0.shape[2:]))
    return float((v_hat - v).square().mean())


def test_a_new_network_predicts_zero_for_grids_of_any_size():
    network = FeatureUNet(10, 24)
    for height, width in [(8, 8), (7, 5), (1, 2)]:
        x_t = torch.randn(2, 10, height, width)

        v_hat = network(x_t, torch.tensor([3, 700]), network.places_of((height, width)))

        assert v_hat.shape == x_t.shape
        assert not v_hat.any()


@torch.no_grad()
def test_it_learns_more_of_v_than_the_best_constant():
    """The features of unseen images have variance 1, and so has v: a net that predicts 0 has an error of 1."""
    model = fitted(stripes(12))
    x_0 = features_of(model, stripes(4, seed=5))

    for step in (NETWORK.t_s, NETWORK.t_b):
        assert error_of(model.judges["denoiser"], x_0, step) < 0.8


@torch.no_grad()
def test_without_noise_the_reconstruction_is_the_input():
    """At t = 0 alpha_bar is nearly 1: whatever the net says, hardly any of it counts."""
    judge = Learned(NETWORK, SIZE, 0.0)
    x_0 = torch.randn(2, judge.noise.shape[1], 8, 8)

    torch.testing.assert_close(judge.reconstruct(x_0, 0, torch.zeros_like(x_0[0])), x_0, atol=1e-3, rtol=1e-3)


@torch.no_grad()
def test_guidance_of_weight_one_lies_between_its_two_steps():
    model = fitted(stripes(6), steps=5)
    judge = model.judges["denoiser"]
    x_0 = features_of(model, stripes(2, seed=5))
    small = judge.reconstruct(x_0, NETWORK.t_s, judge.noise[0])
    big = judge.reconstruct(x_0, NETWORK.t_b, judge.noise[1])
    share = 1 - float(judge.schedule.alphas_bar[NETWORK.t_s])

    torch.testing.assert_close(judge.residual(x_0), x_0 - ((1 - share) * small + share * big), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("residual", ["raw", "whitened"])
def test_a_square_that_was_never_seen_is_found_where_it_is(residual):
    detector = detector_of(fitted(stripes(16), residual=residual))
    images = stripes(3, seed=2)

    odd, plain = detector.predict(with_square(images)), detector.predict(images)

    assert (odd.image_score > plain.image_score.max()).all()
    for logits in odd.mask_logits:
        row, column = divmod(int(logits.argmax()), 64)
        assert 20 <= row < 44
        assert 12 <= column < 36


def test_held_out_images_set_the_scale_because_learning_anew_takes_too_long():
    model = fitted(stripes(12))

    assert model.held_out_scores is None
    scores = detector_of(model).predict(stripes(6, seed=9)).image_score
    assert float(scores.median()) == pytest.approx(0.5, abs=0.02)


def test_its_size_does_not_grow_with_the_images():
    few, many = (sum(fitted(stripes(count), steps=1).parts.values()) for count in (3, 12))

    assert few == many


def test_the_same_seed_learns_the_same_weights():
    first, second = (fitted(stripes(5), steps=3).state_dict() for _ in range(2))

    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_a_saved_model_scores_as_before(tmp_path):
    detector = detector_of(fitted(stripes(6), steps=3))
    detector.save(tmp_path)
    images = stripes(2, seed=4)

    assert torch.equal(Detector.load(tmp_path).predict(images).mask_logits, detector.predict(images).mask_logits)


def test_constant_images_give_finite_figures():
    model = fitted(torch.full((6, 3, 64, 64), 0.5), steps=3)

    assert (
        detector_of(model)
        .predict(torch.cat([torch.full((1, 3, 64, 64), 0.5), stripes(1)]))
        .mask_logits.isfinite()
        .all()
    )


def test_steps_out_of_order_are_refused():
    with pytest.raises(ValidationError, match=r"expected t_s < t_b < num_timesteps, got 542, 342 and 1000"):
        NetworkConfig.model_validate(NETWORK.model_dump() | {"t_s": 542, "t_b": 342})
