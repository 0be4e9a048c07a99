"""Losses that several detectors share."""

import torch
import torch.nn.functional as F  # noqa: N812  # the name that torch's own documentation uses
from torch import Tensor


def focal_loss(logits: Tensor, mask: Tensor, balance: float, exponent: float) -> Tensor:
    """Focal loss of Lin et al. (arXiv:1708.02002), mean over all pixels, from logits.

    With balance 0.5 both classes weigh the same, as in the code of DiffusionAD's authors.

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


def normal_mse(predicted: Tensor, target: Tensor, weight: Tensor, is_normal: Tensor) -> Tensor:
    """Squared error of the normal images, each times its weight: a scalar, 0 where no image is normal.

    Args:
        predicted: Shape (B, C, H, W).
        target: Shape of `predicted`.
        weight: Shape (B,), 0 for images that are not normal.
        is_normal: Bool, shape (B,).
    """
    error = (predicted.float() - target.float()).square().mean(dim=(1, 2, 3))  # (B,)
    return (error * weight).sum() / is_normal.sum().clamp(min=1)
