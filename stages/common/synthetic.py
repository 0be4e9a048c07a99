"""Read the stored synthetic sets."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray


class SyntheticSet(NamedTuple):
    """Synthetic anomalies with their masks, as stage `synthesize` stores them."""

    images: torch.Tensor
    """(N, 3, H, W), float32 in [0, 1]."""
    masks: NDArray[np.bool_]
    """(N, H, W), True on the anomaly."""


def read_synthetic(path: Path) -> SyntheticSet | None:
    """Read a synthetic set; None if there is no such file.

    Raises:
        ValueError: If the file is not a synthetic set.
    """
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            images, masks = stored["images"], stored["masks"]
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(f"{path}: not a synthetic set ({error}); run `dvc repro` to make it again") from None
    return SyntheticSet(to_tensor(images.astype(np.float32) / np.float32(255)), masks.astype(bool))


def to_tensor(images: NDArray[np.float32]) -> torch.Tensor:
    """Turn images of shape (N, H, W, 3) into a tensor (N, 3, H, W) that shares their memory."""
    return torch.from_numpy(images).permute(0, 3, 1, 2)
