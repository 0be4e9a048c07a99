"""What training minimises: DiffusionAD, arXiv:2303.08730, eqs. (9) to (11)."""

from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  # the name that torch's own documentation uses
from pydantic import Field
from torch import Tensor

from diffusionad.model import Draws, TrainingOutput
from diffusionad.section import Section


class LossConfig(Section):
    """Part `loss` of section `training`."""

    noise_weight: float = Field(ge=0, description="weight of the noise loss; the authors' code has 1, the paper 1/2")
    snr_limit: float | None = Field(
        gt=0,
        description="where the signal-to-noise ratio of a timestep is above it, its noise loss weighs limit / SNR "
        "(min-SNR, arXiv:2303.09556); null weighs all timesteps the same, as the paper",
    )
    focal_weight: float = Field(ge=0, description="gamma of eq. (10)")
    focal_balance: float = Field(ge=0, le=1, description="alpha of the focal loss, the weight of anomalous pixels")
    focal_exponent: float = Field(ge=0, description="gamma of the focal loss")


class Losses(NamedTuple):
    """Scalars; only `total` carries a gradient."""

    total: Tensor
    noise: Tensor
    """Mean squared error of the predicted noise, summed over both noise scales, over normal images only."""
    focal: Tensor
    """Mean over pixels."""
    smooth_l1: Tensor
    """Mean over pixels."""


def joint_loss(config: LossConfig, output: TrainingOutput, draws: Draws, mask: Tensor, is_normal: Tensor) -> Losses:
    """Sum the losses, eq. (11): noise + smooth L1 + focal_weight * focal.

    Deviation: Eq. (9) halves the noise loss, the authors' code does not; `noise_weight` says which. Where a batch has
    no normal image, the authors' mean over none is NaN; here it is 0. An autoencoder has no noise to predict: its
    first term is the squared error of its reconstruction of the normal images.

    Args:
        config: Weights.
        output: Of `DiffusionAD.forward`.
        draws: What went into it.
        mask: Ground truth {0, 1}, shape (B, 1, H, W).
        is_normal: Which images hold no anomaly, shape (B,), bool.
    """
    weight = is_normal.float()
    if output.epsilon_hat_s is None or output.epsilon_hat_b is None:
        noise = _weighted_mse(output.x_0_hat, output.x_0, weight, is_normal)
    else:
        weight_s, weight_b = (weight * _snr_weight(snr, config.snr_limit) for snr in (output.snr_s, output.snr_b))
        noise = _weighted_mse(output.epsilon_hat_s, draws.epsilon_s, weight_s, is_normal)
        noise = noise + _weighted_mse(output.epsilon_hat_b, draws.epsilon_b, weight_b, is_normal)
    logits = output.mask_logits.float()
    focal = focal_loss(logits, mask, config.focal_balance, config.focal_exponent)
    smooth_l1 = F.smooth_l1_loss(torch.sigmoid(logits), mask)
    total = config.noise_weight * noise + smooth_l1 + config.focal_weight * focal
    return Losses(total, noise.detach(), focal.detach(), smooth_l1.detach())


def focal_loss(logits: Tensor, mask: Tensor, balance: float, exponent: float) -> Tensor:
    """Focal loss of Lin et al. (arXiv:1708.02002), mean over all pixels, from logits.

    With balance 0.5 both classes weigh the same, as in the authors' code.

    Args:
        logits: Above 0 where anomalous, shape (B, 1, H, W).
        mask: Ground truth {0, 1}, shape of `logits`.
        balance: alpha, weight of the anomalous pixels, in [0, 1]; the normal ones have the rest.
        exponent: gamma; 0 leaves the weighted cross entropy.
    """
    cross_entropy = F.binary_cross_entropy_with_logits(logits, mask, reduction="none")
    weight = balance * mask + (1 - balance) * (1 - mask)
    # 1 - p_t from the cross entropy: -expm1 keeps its digits where p_t is near 1.
    return (weight * (-torch.expm1(-cross_entropy)) ** exponent * cross_entropy).mean()


def _snr_weight(snr: Tensor | None, limit: float | None) -> Tensor | float:
    return 1.0 if snr is None or limit is None else (limit / snr).clamp(max=1)


def _weighted_mse(predicted: Tensor, target: Tensor, weight: Tensor, is_normal: Tensor) -> Tensor:
    """Mean over the normal images of their squared error, each times its weight."""
    error = (predicted.float() - target.float()).square().mean(dim=(1, 2, 3))  # (B,)
    return (error * weight).sum() / is_normal.sum().clamp(min=1)
