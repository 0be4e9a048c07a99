"""Score a folder of photographs with a registered model: a table, heat maps and overlays."""

import base64
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import mlflow.artifacts
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from diffusionad.data.decode import load, open_image, read_bytes, to_rgb
from diffusionad.data.images import resize_image
from pipelines.serving.packaging import load_served
from stages.files import atomic_file

HEAT, OVERLAY = "cividis", "autumn"
ANSWERS = ["score", "label", "threshold", "normals_above", "latency_ms"]
STRENGTH = 0.85
"""Opacity of the overlay where the anomaly is sure."""


def predict_folder(model: str, folder: Path, out: Path) -> pd.DataFrame:
    """Score every file of a folder, at any depth.

    Args:
        model: URI for MLflow: `models:/NAME@champion`, `models:/NAME/3`, or a path.
        folder: Folder of photographs. A file that is not an image gets a row with its error.
        out: Folder for predictions.csv, and for heat/ and overlay/ with one PNG per image at its relative path.

    Returns:
        One row per file with the columns path, score, label, threshold, normals_above, latency_ms, error. A version
        that was registered before scores had a common scale leaves normals_above empty.

    Raises:
        ValueError: If the model cannot be fetched, or the folder holds no file.
    """
    files = sorted(file for file in folder.rglob("*") if file.is_file() and not file.name.startswith("."))
    if not files:
        raise ValueError(f"{folder}: no files here")
    try:
        served = load_served(Path(mlflow.artifacts.download_artifacts(artifact_uri=model)))
    except (MlflowException, OSError) as error:
        raise ValueError(f"{model}: cannot be fetched: {' '.join(str(error).split())}") from None
    rows = list(_rows(served, files, folder, out))
    table = pd.DataFrame(rows, columns=["path", *ANSWERS, "error"])
    with atomic_file(out / "predictions.csv") as draft:
        table.to_csv(draft, index=False)
    return table


def _rows(served: Any, files: list[Path], folder: Path, out: Path) -> Iterator[dict[str, Any]]:  # noqa: ANN401  # mlflow does not type it
    for file in tqdm(files, desc="predict", disable=None):
        name = file.relative_to(folder)
        try:
            data = read_bytes(file)
            answer = served.predict(pd.DataFrame({"image": [data]}), params={"anomaly_map": True}).iloc[0]
        except (MlflowException, ValueError) as error:
            yield {"path": name.as_posix(), "error": " ".join(str(error).split()).replace("image 0: ", "")}
            continue
        photograph = to_rgb(load(open_image(data, str(name)), str(name)), str(name))
        anomaly_map = np.asarray(
            Image.open(io.BytesIO(base64.b64decode(answer["anomaly_map"]))), np.float32
        ) / np.float32(255)
        enlarged = resize_image(anomaly_map[..., None], photograph.shape[:2])[..., 0]
        _write_picture(out / "heat" / f"{name}.png", mpl.colormaps[HEAT](enlarged)[..., :3])
        _write_picture(out / "overlay" / f"{name}.png", _overlay(photograph, enlarged))
        yield {
            "path": name.as_posix(),
            **answer.reindex(ANSWERS).to_dict(),
            "error": None,
        }


def _overlay(photograph: NDArray[np.float32], anomaly_map: NDArray[np.float32]) -> NDArray[np.float32]:
    # The opacity depends on the map alone; that of `stages.evaluate.heat.overlay` depends on the threshold as well.
    weight = anomaly_map[..., None] * STRENGTH
    heat = mpl.colormaps[OVERLAY](1 - anomaly_map)[..., :3]
    return np.asarray(photograph * (1 - weight) + heat * weight, dtype=np.float32)


def _write_picture(path: Path, pixels: NDArray[Any]) -> None:
    with atomic_file(path) as draft:
        Image.fromarray(np.round(pixels * 255).astype(np.uint8)).save(draft, "PNG")
