import numpy as np
import pytest
import torch

from diffusionad.diffusion.schedule import NoiseSchedule, ScheduleConfig


def linear(num_timesteps):
    return NoiseSchedule(ScheduleConfig(num_timesteps=num_timesteps, beta_start=1e-4, beta_end=2e-2))


def test_the_schedule_is_that_of_the_authors(schedule, golden):
    np.testing.assert_allclose(schedule.betas.numpy(), golden["betas"], atol=1e-12, rtol=0)
    np.testing.assert_allclose(schedule.alphas_bar.numpy(), golden["alphas_cumprod"], atol=1e-12, rtol=0)


def test_every_step_adds_noise_and_leaves_some_of_the_image(schedule):
    assert (schedule.alphas_bar.diff() < 0).all()
    assert 0 < schedule.alphas_bar[-1] < schedule.alphas_bar[0] < 1


def test_fewer_timesteps_end_in_about_the_same_noise():
    """Each beta is scaled by 1000 / T, so the sum of them, which decides alpha_bar at the end, stays."""
    ends = [float(linear(steps).alphas_bar[-1].log()) for steps in (1000, 200)]

    assert ends[1] == pytest.approx(ends[0], rel=0.05)


def test_values_are_handed_out_in_the_type_of_the_images(schedule):
    images = torch.zeros(2, 3, 4, 4, dtype=torch.float16)

    handed = schedule.alpha_bar(torch.tensor([0, 999]), like=images)

    assert handed.dtype == torch.float16
    assert handed.shape == (2, 1, 1, 1)


def test_each_image_gets_the_values_of_its_own_timestep(schedule):
    like = torch.zeros(1, dtype=torch.float64)

    picked = schedule.beta(torch.tensor([999, 0]), like).flatten()

    assert picked.tolist() == pytest.approx([2e-2, 1e-4], abs=1e-15)
    assert schedule.alpha_bar(torch.tensor([0]), like).item() == pytest.approx(1 - 1e-4, abs=1e-15)


def test_the_signal_to_noise_ratio_is_that_of_the_variances(schedule):
    """SNR / (1 + SNR) is alpha_bar; at t = 200 the image has 1.91 times the variance of the noise."""
    snr = schedule.snr(torch.tensor([0, 200, 999]), like=torch.zeros(1, dtype=torch.float64))

    torch.testing.assert_close(snr / (1 + snr), schedule.alphas_bar[[0, 200, 999]], atol=1e-12, rtol=0)
    assert float(snr[1]) == pytest.approx(1.91, abs=0.005)


@pytest.mark.parametrize("betas", [(1e-4, 2e-2), (2e-2, 1e-4)])
def test_so_few_timesteps_that_a_beta_reaches_one_are_refused(betas):
    config = ScheduleConfig(num_timesteps=20, beta_start=betas[0], beta_end=betas[1])

    with pytest.raises(ValueError, match=r"beta 0\.02 scaled by 1000 / 20 is not below 1; use more timesteps"):
        NoiseSchedule(config)
