import pytest
import torch
import torch.nn.functional as F  # noqa: N812  # the name that torch's own documentation uses

from diffusionad.detectors.diffusionad.model import NoiseAndMasks, TrainingOutput
from diffusionad.diffusion.schedule import NoiseSchedule
from diffusionad.networks.losses import focal_loss
from toys.detectors import describe_detector, read_config

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
    hat_s, hat_b = (hat.clone().requires_grad_() for hat in hats)
    output = TrainingOutput(hat_s, hat_b, *images, logits)
    draws = {"t_s": torch.tensor([1, 2]), "t_b": torch.tensor([10, 11]), "epsilon_s": epsilons[0]}
    return output, draws | {"epsilon_b": epsilons[1]}, mask


@pytest.fixture
def losses_of(tiny_model):
    """Makes what sums the losses, with changed weights."""

    def losses_of(**changes):
        settings = tiny_model | {"loss": tiny_model["loss"] | changes}
        return NoiseAndMasks(describe_detector(read_config(settings), (8, 8)).build()).losses

    return losses_of


def test_the_losses_are_those_of_the_authors(golden, losses_of):
    keys = ("eps_s", "eps_b", "noise_s", "noise_b", "x0", "x0_guided", "anomaly_map", "mask")
    hat_s, hat_b, epsilon_s, epsilon_b, x_0, x_0_hat, anomaly_map, mask = (torch.from_numpy(golden[k]) for k in keys)
    t = torch.from_numpy(golden["t_s"]).repeat(2)

    losses = losses_of()(
        TrainingOutput(hat_s, hat_b, x_0, x_0_hat, torch.logit(anomaly_map)),
        {"t_s": t % 100, "t_b": t % 100, "epsilon_s": epsilon_s, "epsilon_b": epsilon_b},
        mask,
        torch.from_numpy(golden["labels"]) == 0,
    )

    assert losses["noise"].item() == pytest.approx(float(golden["loss_noise"]), abs=1e-5)
    assert losses["focal"].item() == pytest.approx(float(golden["loss_focal"]), abs=1e-6)
    assert losses["smooth_l1"].item() == pytest.approx(float(golden["loss_smooth_l1"]), abs=1e-6)


def test_the_total_is_the_weighted_sum(case, losses_of):
    total, noise, focal, smooth_l1 = losses_of(noise_weight=0.5, focal_weight=7.0)(*case, ONE_NORMAL).values()

    assert total.item() == pytest.approx(0.5 * noise.item() + smooth_l1.item() + 7 * focal.item(), abs=1e-6)


def test_noise_counts_on_normal_images_alone(case, losses_of):
    output, draws, mask = case
    worse = output._replace(epsilon_hat_s=output.epsilon_hat_s + torch.tensor([0.0, 9.0]).reshape(2, 1, 1, 1))

    before, after = (losses_of()(out, draws, mask, ONE_NORMAL)["noise"] for out in (output, worse))

    assert before.item() == after.item()
    expected = F.mse_loss(output.epsilon_hat_s[0], draws["epsilon_s"][0]) + F.mse_loss(
        output.epsilon_hat_b[0], draws["epsilon_b"][0]
    )
    assert before.item() == pytest.approx(expected.item(), rel=1e-6)


def test_noise_is_a_mean_over_the_normal_images(case, losses_of):
    both = losses_of()(*case, BOTH_NORMAL)["noise"]
    each = [losses_of()(*case, is_normal)["noise"] for is_normal in (ONE_NORMAL, ~ONE_NORMAL)]

    assert both.item() == pytest.approx(sum(each).item() / 2, rel=1e-6)


def test_timesteps_with_little_noise_weigh_the_less_the_less_noise_they_have(case, losses_of, monkeypatch):
    """Above the limit of 5 the weight is limit / SNR: of 20, 2, 0.5 and 10 it leaves 1/4, 1, 1 and 1/2."""
    output, draws, mask = case
    ratios = {1: 20.0, 2: 2.0, 10: 0.5, 11: 10.0}
    monkeypatch.setattr(NoiseSchedule, "snr", lambda _self, t, like: torch.tensor([ratios[int(one)] for one in t]))

    noise = losses_of(snr_limit=5.0)(output, draws, mask, BOTH_NORMAL)["noise"].item()

    each_s, each_b = (
        (hat - epsilon).square().mean(dim=(1, 2, 3)).tolist()
        for hat, epsilon in ((output.epsilon_hat_s, draws["epsilon_s"]), (output.epsilon_hat_b, draws["epsilon_b"]))
    )
    assert noise == pytest.approx((each_s[0] / 4 + each_s[1] + each_b[0] + each_b[1] / 2) / 2, rel=1e-5)


def test_a_limit_that_no_timestep_reaches_changes_nothing(case, losses_of):
    unlimited, limited = (losses_of(snr_limit=limit)(*case, BOTH_NORMAL)["noise"] for limit in (None, 1e9))

    assert unlimited.item() == limited.item()


def test_a_batch_without_normal_images_has_no_noise_loss_and_finite_gradients(case, losses_of):
    output, _, _ = case

    losses = losses_of()(*case, NONE_NORMAL)
    losses["total"].backward()

    assert losses["noise"].item() == 0
    assert output.epsilon_hat_s.grad.abs().max().item() == 0
    assert output.mask_logits.grad.isfinite().all()
    assert output.mask_logits.grad.abs().max().item() > 0


def test_only_the_total_carries_a_gradient(case, losses_of):
    losses = losses_of()(*case, ONE_NORMAL)

    assert [part.requires_grad for part in losses.values()] == [True, False, False, False]


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
