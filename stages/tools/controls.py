"""Figures of what holds no model at all: they show on which data sets a figure says nothing."""

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
"""One number of an image (H, W, 3)."""


def control(name: str, config: FiguresConfig, size: tuple[int, int], *, paths: CategoryPaths) -> Figures:
    """Figures of the control `name` on the test split.

    `centre` gives every image the same map, high in the middle. Each of the others scores an image by how far one
    number of it (its brightness, contrast, gradient, or the picture's size) lies from the training images' mean, in
    their standard deviations; it has no map.

    Args:
        name: One of pipelines' CONTROLS.
        config: Of the figures.
        size: Height and width to read images at.
        paths: The data.
    """
    rows = read_manifest(paths.manifest)
    test = rows[rows["split"] == "test"]
    labels = test["label"].to_numpy()
    if name == "centre":
        figures = image_figures(config, labels, np.zeros(len(test)))
        return figures | _centre_figures(config, size, test, paths)
    normal = rows[(rows["split"] == "train") & (rows["label"] == 0)]
    usual = _numbers(name, normal, size, paths)
    # A spread of none, as where all pictures have one size, leaves every score at 0.
    spread = usual.std() or np.inf
    scores = np.abs(_numbers(name, test, size, paths) - usual.mean()) / spread
    return image_figures(config, labels, scores) | absent("", "one number an image")


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
