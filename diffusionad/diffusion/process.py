"""The forward process and its one-step inverse: DiffusionAD, arXiv:2303.08730, section III-A and IV-B."""

from collections.abc import Callable

from torch import Tensor

from diffusionad.diffusion.schedule import NoiseSchedule

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""epsilon_theta: (x_t of shape (B, C, H, W), t of shape (B,)) -> epsilon_hat of shape (B, C, H, W)."""


def q_sample(schedule: NoiseSchedule, x_0: Tensor, t: Tensor, epsilon: Tensor) -> Tensor:
    """Add noise to x_0 up to step t, eq. (1): x_t = sqrt(alpha_bar_t) x_0 + sqrt(1 - alpha_bar_t) epsilon.

    Args:
        schedule: The noise schedule, for alpha_bar_t.
        x_0: Images, shape (B, C, H, W).
        t: Timesteps in 0 .. T - 1, shape (B,), int64.
        epsilon: Standard normal noise, shape (B, C, H, W).

    Returns:
        x_t, shape (B, C, H, W).
    """
    alpha_bar_t = schedule.alpha_bar(t, like=x_0)
    return alpha_bar_t.sqrt() * x_0 + (1 - alpha_bar_t).sqrt() * epsilon


def predict_x_0(schedule: NoiseSchedule, x_t: Tensor, t: Tensor, epsilon: Tensor) -> Tensor:
    """Invert q_sample for a given noise, eq. (6): x_0 = (x_t - sqrt(1 - alpha_bar_t) epsilon) / sqrt(alpha_bar_t).

    Not clamped: at large t a small error of the noise is a large error of x_0, and the caller knows the value range.

    Args:
        schedule: The noise schedule, for alpha_bar_t.
        x_t: Noised images, shape (B, C, H, W).
        t: Timesteps in 0 .. T - 1, shape (B,), int64.
        epsilon: The noise in x_t, true or predicted, shape (B, C, H, W).

    Returns:
        x_0, shape (B, C, H, W), unbounded.
    """
    alpha_bar_t = schedule.alpha_bar(t, like=x_t)
    return (x_t - (1 - alpha_bar_t).sqrt() * epsilon) / alpha_bar_t.sqrt()
