"""Figures of controls without a model: they show on which data sets a figure says nothing."""

from collections.abc import Callable

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diffusionad.data.images import read_image
from diffusionad.data.manifest import read_manifest
from diffusionad.evaluation.tally import tally
from stages.evaluate.figures import Figures, FiguresConfig, absent, image_figures, pixel_figures
from stages.evaluate.truth import Truth, read_truth
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
        return figures | _centre_figures(config, size, read_truth(test, paths))
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


def _centre_figures(config: FiguresConfig, size: tuple[int, int], truth: Truth) -> Figures:
    masks = list(truth.read_masks(size))
    if not masks:
        return absent("", "no anomalous test image has a mask, and there is no synthetic test set")
    y, x = (np.linspace(-1, 1, pixels) for pixels in size)
    maps = [-np.hypot(y[:, None], x[None, :])] * len(masks)
    figures = pixel_figures(config, truth.prefix, maps, masks, tally(maps, masks))
    return figures | absent("", "see synthetic_") if truth.prefix else figures
