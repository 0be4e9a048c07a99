"""Norm-guided one-step denoising: DiffusionAD, arXiv:2303.08730, section IV-B.

A big step t_b wipes an anomaly out but blurs; a small step t_s keeps detail but may
keep the anomaly too. The reconstruction from t_b guides the one from t_s.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from pydantic import Field
from torch import Tensor

from diffusionad.diffusion.process import predict_x_0, q_sample
from diffusionad.diffusion.schedule import NoiseSchedule
from diffusionad.section import Section

Denoiser = Callable[[Tensor, Tensor], Tensor]
"""epsilon_theta: (x_t of shape (B, C, H, W), t of shape (B,)) -> epsilon_hat of shape (B, C, H, W)."""


class GuidanceConfig(Section):
    """Part `guidance` of section `model`."""

    t_s: int = Field(ge=0, description="small timestep at inference")
    t_b: int = Field(ge=0, description="big timestep at inference")
    tau: int = Field(gt=0, description="training draws t_s from [0, tau) and t_b from [tau, T)")
    scale: float = Field(ge=0, description="w, strength of the guidance, eq. (7); 0 is plain one-step denoising")


class Reconstruction(NamedTuple):
    """What one guided denoising yields; every tensor has the shape of x_0."""

    x_0_hat: Tensor
    """Anomaly-free image, eq. (8), clamped to [-1, 1]."""
    epsilon_hat_s: Tensor
    """Noise predicted at t_s, for the noise loss, eq. (9)."""
    epsilon_hat_b: Tensor
    """Noise predicted at t_b, for the noise loss, eq. (9)."""


def blend_weight(schedule: NoiseSchedule, scale: float, t_s: Tensor, like: Tensor) -> Tensor:
    """Weight of the big step in the guided reconstruction, w (1 - alpha_bar_{t_s}), shape (B, 1, 1, 1)."""
    return scale * (1 - schedule.alpha_bar(t_s, like=like))


def blend(x_0_hat_s: Tensor, x_0_hat_b: Tensor, weight: Tensor | float) -> Tensor:
    """Guide the reconstruction from the small step by that from the big one, both unclamped; in [-1, 1].

        x_0_hat = clamp(x_0_hat_s + weight (clamp(x_0_hat_b) - x_0_hat_s))

    Args:
        x_0_hat_s: One-step reconstruction from t_s, shape (B, C, H, W).
        x_0_hat_b: The same from t_b.
        weight: Of `blend_weight`.
    """
    return (x_0_hat_s + weight * (x_0_hat_b.clamp(-1, 1) - x_0_hat_s)).clamp(-1, 1)


def reconstruct(
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    scale: float,
    x_0: Tensor,
    t_s: Tensor,
    t_b: Tensor,
    epsilon_s: Tensor,
    epsilon_b: Tensor,
) -> Reconstruction:
    """Reconstruct x_0 as if it held no anomaly, with one call of the denoiser on both noise levels.

    Eqs. (7) and (8) re-noise the reconstruction from t_b with the noise predicted at t_s. That noise cancels, and what
    is left is a blend of two one-step reconstructions (`blend`) with weight w (1 - alpha_bar_{t_s}).

    Args:
        denoiser: epsilon_theta.
        schedule: Supplies alpha_bar_t.
        scale: w.
        x_0: Images in [-1, 1] or a part of it, shape (B, C, H, W).
        t_s: Small timesteps, shape (B,), int64.
        t_b: Big timesteps, shape (B,), int64, each above its t_s.
        epsilon_s: Standard normal noise for t_s, shape of x_0.
        epsilon_b: Standard normal noise for t_b, shape of x_0.

    Raises:
        ValueError: If some t_b is not above its t_s.
    """
    if not bool((t_b > t_s).all()):
        raise ValueError(f"every t_b must be above its t_s; got t_s={t_s.tolist()}, t_b={t_b.tolist()}")
    t = torch.cat([t_s, t_b])  # (2B,)
    x_t = torch.cat([q_sample(schedule, x_0, t_s, epsilon_s), q_sample(schedule, x_0, t_b, epsilon_b)])  # (2B, C, H, W)
    epsilon_hat = denoiser(x_t, t)
    x_0_hat_s, x_0_hat_b = predict_x_0(schedule, x_t, t, epsilon_hat.to(x_t)).chunk(2)
    weight = blend_weight(schedule, scale, t_s, like=x_0)
    return Reconstruction(blend(x_0_hat_s, x_0_hat_b, weight), *epsilon_hat.chunk(2))
