"""Norm-guided one-step denoising: DiffusionAD, arXiv:2303.08730, section IV-B.

A big step t_b removes an anomaly but blurs the image; a small step t_s keeps detail but may keep the anomaly too. The
reconstruction from t_b guides the one from t_s.

Beyond the paper, the strength of the guidance may vary over the image (`local_weight`).
"""

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  # the name that torch's own documentation uses
from pydantic import Field, NonNegativeInt
from torch import Tensor

from diffusionad.diffusion.process import Denoiser, predict_x_0, q_sample
from diffusionad.diffusion.schedule import NoiseSchedule
from diffusionad.section import Section


class LocalConfig(Section):
    """Part `guidance.local` of params/detectors/diffusionad.yaml: where in the image the guidance is strong."""

    exponent: float = Field(ge=0, description="how much the strength follows the local error; 0 is the paper's one w")
    window_fraction: float = Field(
        ge=0,
        le=1,
        description="side of the square over which the error is averaged, as a share of the image's shorter side",
    )


class GuidanceConfig(Section):
    """Part `guidance` of params/detectors/diffusionad.yaml."""

    t_s: int = Field(ge=0, description="small timestep at inference")
    t_b: int = Field(ge=0, description="big timestep at inference")
    tau: int = Field(gt=0, description="training draws t_s from [0, tau) and t_b from [tau, T)")
    scale: float = Field(ge=0, description="w, strength of the guidance, eq. (7); 0 is plain one-step denoising")
    t_s_range: tuple[NonNegativeInt, NonNegativeInt] | None = Field(
        description="at inference each image gets its own t_s between these, by its error (`adaptive`); null "
        "takes t_s for all, as in the paper"
    )
    local: LocalConfig


class Reconstruction(NamedTuple):
    """The result of one guided denoising; every tensor has the shape of x_0."""

    x_0_hat: Tensor
    """Anomaly-free image, eq. (8), clamped to [-1, 1]."""
    epsilon_hat_s: Tensor
    """Noise predicted at t_s, for the noise loss, eq. (9)."""
    epsilon_hat_b: Tensor
    """Noise predicted at t_b, for the noise loss, eq. (9)."""


def blend_weight(schedule: NoiseSchedule, scale: float, t_s: Tensor, like: Tensor) -> Tensor:
    """Weight of the big step in the guided reconstruction, w (1 - alpha_bar_{t_s}), shape (B, 1, 1, 1)."""
    return scale * (1 - schedule.alpha_bar(t_s, like=like))


def local_weight(weight: Tensor | float, x_0: Tensor, x_0_hat_b: Tensor, local: LocalConfig) -> Tensor:
    """Spread the weight of the big step over the image, shape (B, 1, H, W): strong where the image looks anomalous.

        weight(p) = min(weight (s(p) / mean_p s)^exponent, max(weight, 1))

    s is |clamp(x_0_hat_b) - x_0|, averaged over the channels and a square around p. The limit keeps the blend
    between x_0_hat_s and x_0_hat_b wherever `weight` alone does. An exponent of 0 gives `weight` everywhere. No
    gradient passes through s.

    Args:
        weight: Result of `blend_weight`, shape (B, 1, 1, 1), or a number.
        x_0: Images, shape (B, C, H, W).
        x_0_hat_b: Their one-step reconstructions from t_b, unclamped.
        local: Exponent, and side of the square.
    """
    error = (x_0_hat_b.detach().clamp(-1, 1) - x_0).abs().mean(dim=1, keepdim=True)
    # Sizes as Python numbers: while tracing they are tensors.
    reach = round(local.window_fraction * min(map(int, x_0.shape[2:])) / 2)
    smooth = F.avg_pool2d(error, 2 * reach + 1, stride=1, padding=reach, count_include_pad=False)
    share = (smooth / smooth.mean(dim=(2, 3), keepdim=True).clamp(min=1e-6)) ** local.exponent
    return torch.minimum(weight * share, torch.as_tensor(weight).to(share).clamp(min=1))


def blend(x_0_hat_s: Tensor, x_0_hat_b: Tensor, weight: Tensor | float) -> Tensor:
    """Guide the reconstruction from the small step by that from the big one; the result is in [-1, 1].

        x_0_hat = clamp(x_0_hat_s + weight (clamp(x_0_hat_b) - x_0_hat_s))

    Args:
        x_0_hat_s: One-step reconstructions from t_s, unclamped, shape (B, C, H, W).
        x_0_hat_b: One-step reconstructions from t_b, unclamped, shape (B, C, H, W).
        weight: Result of `blend_weight`, shape (B, 1, 1, 1), or of `local_weight`, shape (B, 1, H, W); or a number.
    """
    return (x_0_hat_s + weight * (x_0_hat_b.clamp(-1, 1) - x_0_hat_s)).clamp(-1, 1)


def one_step(denoiser: Denoiser, schedule: NoiseSchedule, x_0: Tensor, t: Tensor, epsilon: Tensor) -> Tensor:
    """Noise x_0 to timestep t and reconstruct it in one step, eq. (6), unclamped.

    Args:
        denoiser: epsilon_theta.
        schedule: Supplies alpha_bar_t.
        x_0: Images within [-1, 1], shape (B, C, H, W).
        t: Timesteps, shape (B,), int64.
        epsilon: Standard normal noise, shape of x_0.
    """
    x_t = q_sample(schedule, x_0, t, epsilon)
    return predict_x_0(schedule, x_t, t, denoiser(x_t, t).to(x_t))


def guide(
    weight: Tensor | float, local: LocalConfig | None, x_0: Tensor, x_0_hat_s: Tensor, x_0_hat_b: Tensor
) -> Tensor:
    """Blend two one-step reconstructions of x_0; the result has their shape and is in [-1, 1].

    Args:
        weight: Result of `blend_weight`, shape (B, 1, 1, 1), or a number.
        local: How the weight varies over the image; None or an exponent of 0 is one weight for all pixels.
        x_0: Images, shape (B, C, H, W).
        x_0_hat_s: One-step reconstructions from t_s, unclamped, shape (B, C, H, W).
        x_0_hat_b: One-step reconstructions from t_b, unclamped, shape (B, C, H, W).
    """
    if local is not None and local.exponent > 0:
        weight = local_weight(weight, x_0, x_0_hat_b, local)
    return blend(x_0_hat_s, x_0_hat_b, weight)


def reconstruct(
    denoiser: Denoiser,
    schedule: NoiseSchedule,
    scale: float,
    x_0: Tensor,
    t_s: Tensor,
    t_b: Tensor,
    epsilon_s: Tensor,
    epsilon_b: Tensor,
    local: LocalConfig | None = None,
) -> Reconstruction:
    """Reconstruct x_0 as if it held no anomaly, with one call of the denoiser on both noise levels.

    Eqs. (7) and (8) re-noise the reconstruction from t_b with the noise predicted at t_s. That noise cancels, and what
    is left is a blend of two one-step reconstructions (`blend`) with weight w (1 - alpha_bar_{t_s}).

    Args:
        denoiser: epsilon_theta.
        schedule: Supplies alpha_bar_t.
        scale: w, at least 0.
        x_0: Images within [-1, 1], shape (B, C, H, W).
        t_s: Small timesteps, shape (B,), int64.
        t_b: Big timesteps, shape (B,), int64, each above its t_s.
        epsilon_s: Standard normal noise for t_s, shape of x_0.
        epsilon_b: Standard normal noise for t_b, shape of x_0.
        local: How w varies over the image; None is the paper's one w.

    Raises:
        ValueError: If some t_b is not above its t_s.
    """
    if not bool((t_b > t_s).all()):
        raise ValueError(f"every t_b must be above its t_s; got t_s={t_s.tolist()}, t_b={t_b.tolist()}")
    t = torch.cat([t_s, t_b])  # (2B,)
    x_t = torch.cat([q_sample(schedule, x_0, t_s, epsilon_s), q_sample(schedule, x_0, t_b, epsilon_b)])  # (2B, C, H, W)
    epsilon_hat = denoiser(x_t, t)
    x_0_hat_s, x_0_hat_b = predict_x_0(schedule, x_t, t, epsilon_hat.to(x_t)).chunk(2)
    x_0_hat = guide(blend_weight(schedule, scale, t_s, like=x_0), local, x_0, x_0_hat_s, x_0_hat_b)
    return Reconstruction(x_0_hat, *epsilon_hat.chunk(2))
