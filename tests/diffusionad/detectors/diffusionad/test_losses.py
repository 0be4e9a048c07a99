import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # the name that torch's own documentation uses
from diffusionad.model import Draws, TrainingOutput
from diffusionad.training.losses import LossConfig, focal_loss, joint_loss

CONFIG = LossConfig(noise_weight=1.0, snr_limit=None, focal_weight=5.0, focal_balance=0.5, focal_exponent=4.0)
ONE_NORMAL, BOTH_NORMAL = torch.tensor([True, False]), torch.tensor([True, True])
NONE_NORMAL = ~BOTH_NORMAL


@pytest.fixture
def case():
    """What a pass over two images might give: output, draws, mask."""
    generator = torch.Generator().manual_seed(0)
    hats = torch.randn(2, 2, 3, 8, 8, generator=generator)
    epsilons = torch.randn(2, 2, 3, 8, 8, generator=generator)
    images = torch.rand(2, 2, 3, 8, 8, generator=generator)
    logits = torch.randn(2, 1, 8, 8, generator=generator, requires_grad=True)
    mask = (torch.rand(2, 1, 8, 8, generator=generator) > 0.7).float()
    t = torch.tensor([1, 2])
    hat_s, hat_b = (hat.clone().requires_grad_() for hat in hats)
    snr_s, snr_b = torch.tensor([20.0, 2.0]), torch.tensor([0.5, 10.0])
    output = TrainingOutput(hat_s, hat_b, snr_s, snr_b, *images, logits)
    return output, Draws(t, t + 9, *epsilons, is_dropped=t < 0, is_needed=t >= 0), mask


def test_the_losses_are_those_of_the_authors(golden):
    keys = ("eps_s", "eps_b", "noise_s", "noise_b", "x0", "x0_guided", "anomaly_map", "mask")
    hat_s, hat_b, epsilon_s, epsilon_b, x_0, x_0_hat, anomaly_map, mask = (torch.from_numpy(golden[k]) for k in keys)
    t = torch.from_numpy(golden["t_s"]).repeat(2)

    losses = joint_loss(
        CONFIG,
        TrainingOutput(hat_s, hat_b, None, None, x_0, x_0_hat, torch.logit(anomaly_map)),
        Draws(t, t, epsilon_s, epsilon_b, is_dropped=t < 0, is_needed=t >= 0),
        mask,
        torch.from_numpy(golden["labels"]) == 0,
    )

    assert losses.noise.item() == pytest.approx(float(golden["loss_noise"]), abs=1e-5)
    assert losses.focal.item() == pytest.approx(float(golden["loss_focal"]), abs=1e-6)
    assert losses.smooth_l1.item() == pytest.approx(float(golden["loss_smooth_l1"]), abs=1e-6)


def test_the_total_is_the_weighted_sum(case):
    config = CONFIG.model_copy(update={"noise_weight": 0.5, "focal_weight": 7.0})

    total, noise, focal, smooth_l1 = joint_loss(config, *case, ONE_NORMAL)

    assert total.item() == pytest.approx(0.5 * noise.item() + smooth_l1.item() + 7 * focal.item(), abs=1e-6)


def test_noise_counts_on_normal_images_alone(case):
    output, draws, mask = case
    worse = output._replace(epsilon_hat_s=output.epsilon_hat_s + torch.tensor([0.0, 9.0]).reshape(2, 1, 1, 1))

    before, after = (joint_loss(CONFIG, out, draws, mask, ONE_NORMAL).noise for out in (output, worse))

    assert before.item() == after.item()
    expected = F.mse_loss(output.epsilon_hat_s[0], draws.epsilon_s[0]) + F.mse_loss(
        output.epsilon_hat_b[0], draws.epsilon_b[0]
    )
    assert before.item() == pytest.approx(expected.item(), rel=1e-6)


def test_noise_is_a_mean_over_the_normal_images(case):
    both = joint_loss(CONFIG, *case, BOTH_NORMAL).noise
    each = [joint_loss(CONFIG, *case, is_normal).noise for is_normal in (ONE_NORMAL, ~ONE_NORMAL)]

    assert both.item() == pytest.approx(sum(each).item() / 2, rel=1e-6)


def test_timesteps_with_little_noise_weigh_the_less_the_less_noise_they_have(case):
    """Above the limit of 5 the weight is limit / SNR: of 20, 2, 0.5 and 10 it leaves 1/4, 1, 1 and 1/2."""
    output, draws, mask = case
    limited = CONFIG.model_copy(update={"snr_limit": 5.0})

    noise = joint_loss(limited, output, draws, mask, BOTH_NORMAL).noise.item()

    each_s, each_b = (
        (hat - epsilon).square().mean(dim=(1, 2, 3)).tolist()
        for hat, epsilon in ((output.epsilon_hat_s, draws.epsilon_s), (output.epsilon_hat_b, draws.epsilon_b))
    )
    assert noise == pytest.approx((each_s[0] / 4 + each_s[1] + each_b[0] + each_b[1] / 2) / 2, rel=1e-5)


def test_a_limit_that_no_timestep_reaches_changes_nothing(case):
    unlimited, limited = (
        joint_loss(CONFIG.model_copy(update={"snr_limit": limit}), *case, BOTH_NORMAL).noise for limit in (None, 20.0)
    )

    assert unlimited.item() == limited.item()


def test_a_batch_without_normal_images_has_no_noise_loss_and_finite_gradients(case):
    output, _, _ = case

    losses = joint_loss(CONFIG, *case, NONE_NORMAL)
    losses.total.backward()

    assert losses.noise.item() == 0
    assert output.epsilon_hat_s.grad.abs().max().item() == 0
    assert output.mask_logits.grad.isfinite().all()
    assert output.mask_logits.grad.abs().max().item() > 0


def test_an_autoencoder_is_held_against_the_image(case):
    output, draws, mask = case
    output = output._replace(epsilon_hat_s=None, epsilon_hat_b=None, snr_s=None, snr_b=None)

    losses = joint_loss(CONFIG, output, draws, mask, ONE_NORMAL)

    assert losses.noise.item() == pytest.approx(F.mse_loss(output.x_0_hat[0], output.x_0[0]).item(), rel=1e-6)


def test_only_the_total_carries_a_gradient(case):
    losses = joint_loss(CONFIG, *case, ONE_NORMAL)

    assert [part.requires_grad for part in losses] == [True, False, False, False]


def test_focal_loss_without_an_exponent_is_half_the_cross_entropy(case):
    output, _, mask = case

    loss = focal_loss(output.mask_logits, mask, balance=0.5, exponent=0.0)

    expected = F.binary_cross_entropy_with_logits(output.mask_logits, mask) / 2
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_focal_loss_lets_go_of_sure_pixels():
    sure, unsure, mask = torch.full((1, 1, 4, 4), 4.0), torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)

    ratios = [
        (focal_loss(sure, mask, 0.5, exponent) / focal_loss(unsure, mask, 0.5, exponent)).item()
        for exponent in (0, 1, 4)
    ]

    assert ratios == sorted(ratios, reverse=True)
    assert ratios[2] < 1e-5


@pytest.mark.parametrize(("balance", "counted"), [(1.0, 1.0), (0.0, 0.0)])
def test_the_balance_shares_the_weight_between_the_classes(case, balance, counted):
    """With all of it on one class, pixels of the other count nothing."""
    output, _, mask = case

    focal_loss(output.mask_logits, mask, balance, 4.0).backward()

    assert output.mask_logits.grad[mask != counted].abs().max().item() == 0
    assert output.mask_logits.grad[mask == counted].abs().max().item() > 0


def test_focal_loss_keeps_its_digits_on_very_sure_pixels():
    """With a logit of 30, p_t is 1 in float32; the loss is not 0 yet."""
    logits, mask = torch.full((1, 1, 1, 1), 30.0), torch.ones(1, 1, 1, 1)

    exact = torch.nn.functional.softplus(torch.tensor(-30.0, dtype=torch.float64))
    assert focal_loss(logits, mask, 0.5, 1.0).item() == pytest.approx(0.5 * exact.item() ** 2, rel=1e-3, abs=0)
