"""Pictures of test images for people: photograph, reconstruction where there is one, anomaly map, overlay."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from diffusionad.data.images import read_image, read_mask, resize_image
from diffusionad.detector import Prediction
from stages.evaluate.heat import HEAT, colour_limit, overlay

WIDTH_INCHES = 7.0


def choose(table: pd.DataFrame, threshold: float, count: int) -> dict[str, pd.DataFrame]:
    """Choose rows worth looking at, by kind; a kind without rows is left out.

    Args:
        table: Table with columns path, label, score; one row per test image.
        threshold: Threshold of the image score.
        count: Largest number of rows of each kind.

    Returns:
        best: anomalous images with the highest scores; missed: anomalous ones with the lowest; false_alarms: normal
        ones with the highest; borderline: those nearest to the threshold.
    """
    ranked = table.sort_values(["score", "path"], ascending=[False, True])
    anomalous, normal = ranked[ranked["label"] == 1], ranked[ranked["label"] == 0]
    nearest = (ranked["score"] - threshold).abs().sort_values(kind="stable").index
    kinds = {
        "best": anomalous.head(count),
        "missed": anomalous.tail(count).iloc[::-1],
        "false_alarms": normal.head(count),
        "borderline": ranked.loc[nearest].head(count),
    }
    return {kind: rows for kind, rows in kinds.items() if len(rows)}


class Gallery:
    """Reconstructions and maps of the images that `choose` chooses; those of the others are dropped as they come.

    An image that is not chosen among those seen so far is not chosen among all, so few are in memory.

    Args:
        rows: Table with columns path, label; one row per test image, in the order of the predictions.
        threshold: Threshold of the image score.
        count: Largest number of images of each kind.
        map_threshold: Threshold of the raw image score, which scales the colours of the maps.
    """

    def __init__(self, rows: pd.DataFrame, threshold: float, count: int, *, map_threshold: float) -> None:
        self.map_threshold = map_threshold
        self._rows, self._threshold, self._count = rows, threshold, count
        self._scores: list[float] = []
        self._kept: dict[int, tuple[NDArray[np.float32] | None, NDArray[np.float32]]] = {}

    def add(self, prediction: Prediction) -> None:
        """Add the predictions for the next images."""
        first = len(self._scores)
        self._scores += prediction.image_score.tolist()
        seen = self._rows.iloc[: len(self._scores)].assign(score=self._scores)
        chosen = pd.concat(choose(seen, self._threshold, self._count).values()).index
        new = range(first, len(self._scores))
        made = prediction.reconstruction
        fresh = {
            first + i: (None if made is None else made[i].numpy().copy(), prediction.anomaly_map[i].numpy().copy())
            for i in range(len(new))
            if first + i in chosen
        }
        self._kept = {i: answer for i, answer in (self._kept | fresh).items() if i in chosen}

    def __getitem__(self, index: int) -> tuple[NDArray[np.float32] | None, NDArray[np.float32]]:
        """Return the reconstruction (3, H, W), or None, and the map (H, W) of a chosen image, both in [0, 1]."""
        return self._kept[index]


def draw_overview(path: Path, gallery: Gallery, rows: pd.DataFrame, images: Path) -> None:
    """Draw one row of pictures per image, with its verdict above.

    Args:
        path: PNG to write.
        gallery: Gallery with reconstruction and map of these rows, by their index.
        rows: Table with columns path, defect, score, is_anomalous, and mask: a relative path or missing; the outline of
            the mask is drawn.
        images: Folder that the paths are relative to.
    """
    columns = 3 if gallery[rows.index[0]][0] is None else 4
    figure = Figure(figsize=(WIDTH_INCHES, WIDTH_INCHES / columns * 1.16 * len(rows)), layout="constrained", dpi=120)
    axes = figure.subplots(len(rows), columns, squeeze=False)
    for line, index, row in zip(axes, rows.index, rows.to_dict("records"), strict=True):
        photograph = read_image(images / row["path"], None)
        reconstruction, anomaly_map = gallery[index]
        outline = read_mask(images / row["mask"], None) if isinstance(row["mask"], str) else None
        verdict = "anomalous" if row["is_anomalous"] else "normal"
        _draw_line(line, photograph, reconstruction, anomaly_map, gallery.map_threshold, outline)
        line[0].set_title(f"{Path(row['path']).stem} ({row['defect']})", fontsize=8, loc="left")
        if reconstruction is not None:
            line[1].set_title("reconstruction", fontsize=8, loc="left")
        line[-2].set_title("anomaly map", fontsize=8, loc="left")
        line[-1].set_title(f"score {row['score']:.3f}: {verdict}", fontsize=8, loc="left")
    # Without a date and a version, the same picture has the same bytes.
    figure.savefig(path, metadata={"Software": None})


def _draw_line(
    axes: NDArray[np.object_],
    photograph: NDArray[np.float32],
    reconstruction: NDArray[np.float32] | None,
    anomaly_map: NDArray[np.float32],
    threshold: float,
    outline: NDArray[np.bool_] | None,
) -> None:
    enlarged = resize_image(anomaly_map[..., None], photograph.shape[:2])[..., 0]
    axes[0].imshow(photograph)
    if reconstruction is not None:
        axes[1].imshow(reconstruction.transpose(1, 2, 0))
    axes[-2].imshow(anomaly_map, cmap=HEAT, vmin=0, vmax=colour_limit(threshold))
    axes[-1].imshow(overlay(photograph, enlarged, threshold))
    if outline is not None:
        axes[-1].contour(outline, levels=[0.5], colors="white", linewidths=0.8)
    for axis in axes:
        axis.set_axis_off()
