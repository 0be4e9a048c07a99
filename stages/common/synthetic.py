"""Read the stored synthetic sets."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class SyntheticSet(NamedTuple):
    """Synthetic anomalies with their masks, as stage `synthesize` stores them."""

    images: NDArray[np.float32]
    """(N, H, W, 3), in [0, 1]."""
    masks: NDArray[np.bool_]
    """(N, H, W), True on the anomaly."""
    paths: tuple[str, ...]
    """The normal image under each anomaly, relative to the folder of images, length N; empty where it is not said."""


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
            paths = tuple(map(str, stored["paths"])) if "paths" in stored else ()
    except (KeyError, OSError, ValueError) as error:
        raise ValueError(f"{path}: not a synthetic set ({error}); run `dvc repro` to make it again") from None
    return SyntheticSet(images.astype(np.float32) / np.float32(255), masks.astype(bool), paths)
