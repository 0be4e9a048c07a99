"""The ground truth of the test split: labels, and masks of real defects or, where there are none, of synthetic ones."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diffusionad.data.images import read_mask
from diffusionad.data.masks import resize_mask
from stages.common.synthetic import SyntheticSet, read_synthetic
from stages.paths import CategoryPaths


class Truth(NamedTuple):
    """Labels of N test images, and the images whose pixels can be compared with a mask."""

    files: list[Path]
    """The test images, N."""
    labels: NDArray[np.int64]
    """0 = normal, 1 = anomalous, shape (N,)."""
    masks: dict[int, Path | None]
    """Mask by index of the test image, where the pixel truth is known; None for a normal image without a mask. Empty if
    no test image has a mask."""
    synthetic: SyntheticSet | None
    """The synthetic test set, used where `masks` is empty; None if it is not needed or there is none."""

    @property
    def prefix(self) -> str:
        """Prefix of the names of the pixel figures: "synthetic_" for synthetic defects, "" for real ones."""
        return "" if self.synthetic is None else "synthetic_"

    @property
    def outlines(self) -> list[Path | None]:
        """Mask of each test image, N; None where there is none."""
        return [self.masks.get(index) for index in range(len(self.files))]

    def read_masks(self, size: tuple[int, int]) -> Iterator[NDArray[np.bool_]]:
        """Yield the masks of `masks`, or of `synthetic`, at (height, width) in pixels; all False for a normal image.

        Raises:
            ValueError: If a file cannot be read.
        """
        if self.synthetic is not None:
            yield from (resize_mask(mask, size) for mask in self.synthetic.masks)
        for file in self.masks.values():
            yield np.zeros(size, np.bool_) if file is None else read_mask(file, size)


def read_truth(rows: pd.DataFrame, paths: CategoryPaths) -> Truth:
    """Find the ground truth of test images; the masks themselves are read later.

    Args:
        rows: Rows of the manifest, one per test image.
        paths: Paths of the category.

    Raises:
        ValueError: If the synthetic test set cannot be read.
    """
    names = [name if isinstance(name, str) else None for name in rows["mask"].tolist()]
    labels = rows["label"].to_numpy()
    masks = {
        index: None if name is None else paths.images / name
        for index, (label, name) in enumerate(zip(labels, names, strict=True))
        if label == 0 or name is not None
    }
    if not any(masks.values()):
        masks = {}
    synthetic = None if masks else read_synthetic(paths.synthetic / "test.npz")
    return Truth([paths.images / name for name in rows["path"]], labels, masks, synthetic)
