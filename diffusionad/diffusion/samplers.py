"""Reconstruction in many denoising steps, which the paper compares with a single step (Table VII).

Both add noise up to t and walk back to a clean image, as in AnoDDPM: `ancestral` with the posterior of Ho et al.
(arXiv:2006.11239, eqs. 6 and 7), `ddim` with the deterministic process of Song et al. (arXiv:2010.02502, eq. 12).

Deviation: Ho et al., section 3.2, allow either the variance of the posterior or beta_t as the variance of a step. This
is the former; the authors' code has beta_t. At t = 200 they differ by 0.8 %.
"""

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from diffusionad.diffusion.process import Denoiser, predict_x_0
from diffusionad.diffusion.schedule import NoiseSchedule


class Posterior(NamedTuple):
    """q(x_{t-1} | x_t, x_0): a normal distribution."""

    mean: Tensor
    """Shape (B, C, H, W)."""
    variance: Tensor
    """Shape (B, 1, 1, 1); zero at t = 0."""


def posterior(schedule: NoiseSchedule, x_0: Tensor, x_t: Tensor, t: Tensor) -> Posterior:
    """Compute mean and variance of x_{t-1} given x_t and x_0 (Ho et al., eq. 7).

    Args:
        schedule: The noise schedule, for beta_t and alpha_bar_t.
        x_0: Images, shape (B, C, H, W).
        x_t: The same images with noise up to t, shape (B, C, H, W).
        t: Timesteps in 0 .. T - 1, shape (B,), int64. At 0 the mean is x_0.
    """
    # float64 on the CPU: in float32, 1 - alpha_bar_0 has only four digits, and the last step would shift every value.
    exact = torch.empty(0, dtype=torch.float64)
    beta_t, alpha_bar_t = schedule.beta(t, like=exact), schedule.alpha_bar(t, like=exact)  # (B, 1, 1, 1)
    before = schedule.alpha_bar((t - 1).clamp(min=0), like=exact)
    before = torch.where(t.cpu().reshape(before.shape) > 0, before, 1.0)  # there is no noise before the first step
    weight_0 = before.sqrt() * beta_t / (1 - alpha_bar_t)
    weight_t = (1 - beta_t).sqrt() * (1 - before) / (1 - alpha_bar_t)
    variance = beta_t * (1 - before) / (1 - alpha_bar_t)
    return Posterior(weight_0.to(x_t) * x_0 + weight_t.to(x_t) * x_t, variance.to(x_t))


def ancestral(
    denoiser: Denoiser, schedule: NoiseSchedule, x_t: Tensor, t_start: int, noise: Callable[[int], Tensor]
) -> Tensor:
    """Walk from x_t at `t_start` to x_0 in t_start + 1 random steps.

    Args:
        denoiser: epsilon_theta; maps (x_t, t) to epsilon_hat.
        schedule: The noise schedule, for beta_t and alpha_bar_t.
        x_t: Noised images, shape (B, C, H, W).
        t_start: Timestep of x_t.
        noise: Maps a timestep to the standard normal noise of the step from it, shape (B, C, H, W).

    Returns:
        Images clamped to [-1, 1], shape (B, C, H, W).
    """
    for step in range(t_start, -1, -1):
        t = torch.full((len(x_t),), step)
        x_0_hat = predict_x_0(schedule, x_t, t, denoiser(x_t, t)).clamp(-1, 1)
        mean, variance = posterior(schedule, x_0_hat, x_t, t)
        x_t = mean + variance.sqrt() * noise(step) if step > 0 else mean
    return x_t.clamp(-1, 1)


def ddim_timesteps(t_start: int, num_steps: int) -> list[int]:
    """Return the timesteps of a DDIM walk, evenly spaced from `t_start` down, without 0 unless it is the start.

    If there are fewer timesteps than `num_steps`, each comes once.

    Args:
        t_start: The first timestep, at least 0.
        num_steps: Largest number of timesteps, at least 1.

    Example:
        >>> ddim_timesteps(400, 4)
        [400, 300, 200, 100]
    """
    steps = {round(t_start * k / num_steps) for k in range(1, num_steps + 1)}
    return sorted(steps - {0}, reverse=True) or [0]


def ddim(denoiser: Denoiser, schedule: NoiseSchedule, x_t: Tensor, timesteps: Iterable[int]) -> Tensor:
    """Walk from x_t at the first of `timesteps` through the others to x_0, without randomness (eta = 0).

    Args:
        denoiser: epsilon_theta; maps (x_t, t) to epsilon_hat.
        schedule: The noise schedule, for alpha_bar_t.
        x_t: Images with noise up to the first of `timesteps`, shape (B, C, H, W).
        timesteps: At least one, falling.

    Returns:
        Images clamped to [-1, 1], shape (B, C, H, W).
    """
    steps = list(timesteps)
    x_0_hat = x_t
    for index, step in enumerate(steps):
        t = torch.full((len(x_t),), step)
        alpha_bar_t = schedule.alpha_bar(t, like=x_t)
        x_0_hat = predict_x_0(schedule, x_t, t, denoiser(x_t, t)).clamp(-1, 1)
        if index + 1 < len(steps):
            # The noise that matches the clamped x_0, as in the authors' implementation of DDIM.
            epsilon_hat = (x_t - alpha_bar_t.sqrt() * x_0_hat) / (1 - alpha_bar_t).sqrt()
            alpha_bar_next = schedule.alpha_bar(torch.full_like(t, steps[index + 1]), like=x_t)
            x_t = alpha_bar_next.sqrt() * x_0_hat + (1 - alpha_bar_next).sqrt() * epsilon_hat
    return x_0_hat
