import pytest
import torch

from diffusionad.detectors.diffusionad.adaptive import choose_t_s, image_error, reconstruct_adaptively
from diffusionad.detectors.diffusionad.guidance import GuidanceConfig, LocalConfig, reconstruct

USUAL = torch.tensor([0.1, 0.3])


def settings(t_s_range, exponent=0.0):
    local = LocalConfig(exponent=exponent, window_fraction=0.2)
    return GuidanceConfig(t_s=7, t_b=400, tau=300, scale=1.0, t_s_range=t_s_range, local=local)


@pytest.fixture
def drawn(draw):
    """Three images and the noise for both steps."""
    return draw(3, 8)


def sees_steps(x_t, t):
    """A denoiser whose answer depends on image and timestep."""
    return 0.3 * x_t + torch.sin(t.to(x_t)).reshape(-1, 1, 1, 1)


@pytest.mark.parametrize("exponent", [0.0, 1.0])
def test_a_range_of_one_step_is_norm_guidance_with_that_step(schedule, drawn, exponent):
    x_0, epsilon_s, epsilon_b = drawn
    guidance = settings((150, 150), exponent)
    t_s, t_b = torch.full((3,), 150), torch.full((3,), 400)

    adaptive = reconstruct_adaptively(sees_steps, schedule, guidance, USUAL, x_0, epsilon_s, epsilon_b)

    plain = reconstruct(sees_steps, schedule, 1.0, x_0, t_s, t_b, epsilon_s, epsilon_b, guidance.local)
    torch.testing.assert_close(adaptive, plain.x_0_hat, atol=1e-6, rtol=0)


def test_each_image_is_reconstructed_as_if_it_were_alone(schedule, drawn):
    x_0, epsilon_s, epsilon_b = drawn
    x_0[1] *= 1.8

    together = reconstruct_adaptively(sees_steps, schedule, settings((50, 350)), USUAL, x_0, epsilon_s, epsilon_b)

    for index in range(3):
        alone = [part[index : index + 1] for part in (x_0, epsilon_s, epsilon_b)]
        one = reconstruct_adaptively(sees_steps, schedule, settings((50, 350)), USUAL, *alone)
        torch.testing.assert_close(together[index : index + 1], one, atol=1e-6, rtol=0)


def test_the_denoiser_sees_each_image_twice_first_at_the_big_step(schedule, drawn):
    x_0, epsilon_s, epsilon_b = drawn
    seen = []

    def denoiser(x_t, t):
        seen.append(t.tolist())
        return sees_steps(x_t, t)

    reconstruct_adaptively(denoiser, schedule, settings((50, 350)), USUAL, x_0, epsilon_s, epsilon_b)

    assert seen[0] == [400, 400, 400]
    assert len(seen) == 2
    assert all(50 <= t <= 350 for t in seen[1])


def test_the_worse_the_reconstruction_the_larger_the_step():
    errors = torch.linspace(0, 0.5, 40)

    t_s = choose_t_s(errors, USUAL, (100, 300))

    assert bool((t_s[1:] >= t_s[:-1]).all())
    assert set(t_s[errors <= 0.1].tolist()) == {100}
    assert set(t_s[errors >= 0.3].tolist()) == {300}
    assert choose_t_s(torch.tensor([0.2]), USUAL, (100, 300)).item() == 200


def test_without_a_spread_of_usual_errors_the_larger_ones_get_the_largest_step():
    """One normal image alone was seen, or none."""
    for usual in (torch.tensor([0.2, 0.2]), torch.zeros(2)):
        assert choose_t_s(usual[:1] + 0.01, usual, (100, 300)).item() == 300
    assert choose_t_s(torch.tensor([0.2]), torch.tensor([0.2, 0.2]), (100, 300)).item() == 100


def test_the_error_is_that_of_the_clamped_reconstruction_of_each_image():
    x_0 = torch.zeros(2, 3, 4, 4)
    x_0_hat_b = torch.stack([torch.full((3, 4, 4), 0.25), torch.full((3, 4, 4), -7.0)])

    assert image_error(x_0, x_0_hat_b).tolist() == [0.25, 1.0]
