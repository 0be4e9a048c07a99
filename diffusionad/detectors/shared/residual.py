"""How unusual a residual is: its length in units of what is usual for normal patches in each direction."""

import torch
from torch import Tensor

SHRINK = 0.1
"""Share of the mean variance that is added to the variance of each direction."""


def whitening_of(residuals: Tensor) -> Tensor:
    """The matrix (D, D) that maps a residual to one whose length is its distance.

    Args:
        residuals: Those of normal patches, (P, D).
    """
    values, vectors = torch.linalg.eigh(residuals.T @ residuals / len(residuals))
    # Directions in which hardly anything varies are not blown up.
    scale: Tensor = (values.clamp(min=0) + SHRINK * values.mean()).clamp(min=1e-12).rsqrt()
    whitening: Tensor = vectors * scale
    return whitening
