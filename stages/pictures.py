"""Pictures of test images for a person: photograph, reconstruction, anomaly map, overlay."""

from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from numpy.typing import NDArray

from diffusionad.data.images import read_image, read_mask, resize_image
from diffusionad.detector import Detector
from stages.heat import HEAT, colour_limit, overlay

WIDTH_INCHES = 7.0


def choose(table: pd.DataFrame, threshold: float, count: int) -> dict[str, pd.DataFrame]:
    """Rows worth looking at, by kind; a kind without rows is left out.

    Args:
        table: Columns path, label, score; one row a test image.
        threshold: Of the verdict.
        count: Rows of each kind at most.

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


def draw_overview(path: Path, detector: Detector, rows: pd.DataFrame, images: Path) -> None:
    """Draw a row of four pictures for each image, with its verdict above.

    Args:
        path: PNG to write.
        detector: Gives reconstruction and map.
        rows: Columns path, defect, score, is_anomalous, and mask: relative path or missing; its outline is drawn.
        images: Folder that paths are relative to.
    """
    prediction = detector.predict([images / name for name in rows["path"]])
    figure = Figure(figsize=(WIDTH_INCHES, WIDTH_INCHES / 4 * 1.16 * len(rows)), layout="constrained", dpi=120)
    axes = figure.subplots(len(rows), 4, squeeze=False)
    for index, (line, row) in enumerate(zip(axes, rows.to_dict("records"), strict=True)):
        photograph = read_image(images / row["path"], None)
        anomaly_map = prediction.anomaly_map[index].numpy()
        outline = read_mask(images / row["mask"], None) if isinstance(row["mask"], str) else None
        verdict = "anomalous" if row["is_anomalous"] else "normal"
        reconstruction = prediction.reconstruction[index].permute(1, 2, 0).numpy()
        _draw_line(line, photograph, reconstruction, anomaly_map, detector.config.threshold, outline)
        line[0].set_title(f"{Path(row['path']).stem} ({row['defect']})", fontsize=8, loc="left")
        line[1].set_title("reconstruction", fontsize=8, loc="left")
        line[2].set_title("anomaly map", fontsize=8, loc="left")
        line[3].set_title(f"score {row['score']:.3f}: {verdict}", fontsize=8, loc="left")
    # Without a date and a version, the same picture has the same bytes.
    figure.savefig(path, metadata={"Software": None})


def _draw_line(
    axes: NDArray[np.object_],
    photograph: NDArray[np.float32],
    reconstruction: NDArray[np.float32],
    anomaly_map: NDArray[np.float32],
    threshold: float,
    outline: NDArray[np.bool_] | None,
) -> None:
    enlarged = resize_image(anomaly_map[..., None], photograph.shape[:2])[..., 0]
    axes[0].imshow(photograph)
    axes[1].imshow(reconstruction)
    axes[2].imshow(anomaly_map, cmap=HEAT, vmin=0, vmax=colour_limit(threshold))
    axes[3].imshow(overlay(photograph, enlarged, threshold))
    if outline is not None:
        axes[3].contour(outline, levels=[0.5], colors="white", linewidths=0.8)
    for axis in axes:
        axis.set_axis_off()
