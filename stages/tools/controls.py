"""Figures of controls without a model: they show on which data sets a figure says nothing."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diffusionad.data.images import read_image, read_mask
from diffusionad.data.manifest import read_manifest
from diffusionad.evaluation.tally import tally
from stages.common.synthetic import read_synthetic
from stages.evaluate.figures import Figures, FiguresConfig, absent, image_figures, pixel_figures
from stages.paths import CategoryPaths

STATISTICS: dict[str, Callable[[NDArray[np.float32]], float]] = {
    "brightness": lambda image: float(image.mean()),
    "contrast": lambda image: float(image.std()),
    "gradient": lambda image: float(np.mean([np.abs(step).mean() for step in np.gradient(image, axis=(0, 1))])),
}
"""Statistics of an image (H, W, 3) in [0, 1], by name."""


def control(name: str, config: FiguresConfig, size: tuple[int, int], *, paths: CategoryPaths) -> Figures:
    """Compute the figures of the control `name` on the test split.

    `centre` gives every image the same map, high in the middle. Each of the others scores an image by the distance of
    one statistic (brightness, contrast, gradient, or the size of the picture) from its mean over the training images,
    in their standard deviations; it has no map.

    Args:
        name: centre, picture_size or a key of STATISTICS.
        config: Settings of the figures.
        size: (height, width) in pixels at which images are read.
        paths: Paths of the category.
    """
    rows = read_manifest(paths.manifest)
    test = rows[rows["split"] == "test"]
    labels = test["label"].to_numpy()
    if name == "centre":
        figures = image_figures(config, labels, np.zeros(len(test)))
        return figures | _centre_figures(config, size, test, paths)
    normal = rows[(rows["split"] == "train") & (rows["label"] == 0)]
    usual = _numbers(name, normal, size, paths)
    # Where the deviation is 0, as where all pictures have the same size, every score is 0.
    spread = usual.std() or np.inf
    scores = np.abs(_numbers(name, test, size, paths) - usual.mean()) / spread
    return image_figures(config, labels, scores) | absent("", "one number per image")


def _numbers(name: str, rows: pd.DataFrame, size: tuple[int, int], paths: CategoryPaths) -> NDArray[np.float64]:
    if name == "picture_size":
        return (rows["width"] * rows["height"]).to_numpy(np.float64)
    return np.asarray([STATISTICS[name](read_image(paths.images / path, size)) for path in rows["path"]])


def _centre_figures(config: FiguresConfig, size: tuple[int, int], test: pd.DataFrame, paths: CategoryPaths) -> Figures:
    y, x = (np.linspace(-1, 1, pixels) for pixels in size)
    middle = -np.hypot(y[:, None], x[None, :])
    known = test[test["mask"].notna() | (test["label"] == 0)]
    if test["mask"].notna().any():
        empty = np.zeros(size, np.bool_)
        names = [name if isinstance(name, str) else None for name in known["mask"]]
        masks = [empty if name is None else read_mask(paths.images / name, size) for name in names]
        maps = [middle] * len(masks)
        return pixel_figures(config, "", maps, masks, tally(maps, masks))
    synthetic = read_synthetic(paths.synthetic / "test.npz")
    if synthetic is None:
        return absent("", "no anomalous test image has a mask, and there is no synthetic test set")
    masks = list(synthetic.masks)
    maps = [middle] * len(masks)
    return pixel_figures(config, "synthetic_", maps, masks, tally(maps, masks)) | absent("", "see synthetic_")
