"""A small step t_s per image, chosen by the error of its reconstruction from the big step.

The paper (arXiv:2303.08730) names noise scales that adapt to the image as an open point. Here the pass at t_b comes
first. An image that it reconstructs as well as the best of the normal images gets the smallest t_s and keeps its
detail; one that it reconstructs as badly as the worst of them, or worse, gets the largest, which wipes out more. That
takes two passes per image, as norm guidance does.
"""

import torch
from torch import Tensor

from diffusionad.detectors.diffusionad.guidance import GuidanceConfig, blend_weight, guide, one_step
from diffusionad.diffusion.process import Denoiser
from diffusionad.diffusion.schedule import NoiseSchedule


def reconstruct_adaptively(
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    guidance: GuidanceConfig,
    normal_error_range: Tensor,
    x_0: Tensor,
    epsilon_s: Tensor,
    epsilon_b: Tensor,
) -> Tensor:
    """Reconstruct x_0 with norm guidance, each image with its own t_s.

    Args:
        denoiser: epsilon_theta.
        schedule: Supplies alpha_bar_t.
        guidance: Supplies t_b, the range of t_s (not None) and the strength.
        normal_error_range: The smallest and the largest error of normal images held out of training, shape (2,).
        x_0: Images within [-1, 1], shape (B, C, H, W).
        epsilon_s: Standard normal noise for t_s, shape of x_0.
        epsilon_b: Standard normal noise for t_b, shape of x_0.

    Returns:
        The reconstructions, clamped to [-1, 1], shape of x_0.
    """
    assert guidance.t_s_range is not None  # noqa: S101  # the model has checked it
    x_0_hat_b = one_step(denoiser, schedule, x_0, torch.full((len(x_0),), guidance.t_b), epsilon_b)
    t_s = choose_t_s(image_error(x_0, x_0_hat_b), normal_error_range, guidance.t_s_range)
    x_0_hat_s = one_step(denoiser, schedule, x_0, t_s, epsilon_s)
    weight = blend_weight(schedule, guidance.scale, t_s, like=x_0)
    return guide(weight, guidance.local, x_0, x_0_hat_s, x_0_hat_b)


def image_error(x_0: Tensor, x_0_hat_b: Tensor) -> Tensor:
    """Compute the mean of |clamp(x_0_hat_b) - x_0| over each image, shape (B,).

    Args:
        x_0: Images, shape (B, C, H, W).
        x_0_hat_b: Their one-step reconstructions from t_b, unclamped.
    """
    error: Tensor = (x_0_hat_b.clamp(-1, 1) - x_0).abs().flatten(1).mean(dim=1)
    return error


def choose_t_s(error: Tensor, normal_error_range: Tensor, t_s_range: tuple[int, int]) -> Tensor:
    """Choose t_s in proportion to the error, shape (B,), int64.

        t_s = low + (high - low) clip((e - e_low) / (e_high - e_low), 0, 1), rounded

    Args:
        error: e, the result of `image_error`, shape (B,).
        normal_error_range: e_low and e_high, the smallest and the largest error of normal images held out of training,
            shape (2,).
        t_s_range: low and high, timesteps.

    Example:
        >>> choose_t_s(torch.tensor([0.05, 0.2, 0.9]), torch.tensor([0.1, 0.5]), (100, 300)).tolist()
        [100, 150, 300]
    """
    low, high = t_s_range
    smallest, largest = normal_error_range.to(error)
    share: Tensor = ((error - smallest) / (largest - smallest).clamp(min=1e-9)).clamp(0, 1)
    return (low + (high - low) * share).round().long()
