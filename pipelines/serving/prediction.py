"""Score photographs with a registered model or a trained one: a table, heat maps and overlays."""

import base64
import functools
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import mlflow.artifacts
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

import diffusionad
from diffusionad.data.decode import load, open_image, read_bytes, to_rgb
from diffusionad.data.images import resize_image
from pipelines.serving.packaging import load_served
from pipelines.serving.photographs import ANSWERS, COLUMNS, PICTURES, TABLE, find_photographs
from pipelines.serving.serving_model import ServedDetector
from stages.files import atomic_file

COLOURS = ("cividis", "autumn")
"""Colour maps of the pictures of `PICTURES`."""

STRENGTH = 0.85
"""Opacity of the overlay where the anomaly is sure."""

Judge = Callable[..., Any]
"""`predict` of a served model: takes a data frame with a column `image`, and `params`."""


class Scored(NamedTuple):
    """What a prediction found."""

    table: pd.DataFrame
    """One row per file with the columns COLUMNS; `path` is relative to the folder that holds all of them. A version
    that was registered before scores had a common scale leaves normals_above empty."""
    passed_over: Mapping[str, int]
    """Number of files that are no photographs, by reason."""


def predict(model: str, sources: Sequence[str], out: Path) -> Scored:
    """Score photographs, and write the table, and heat/ and overlay/ with one PNG per photograph at its relative path.

    Args:
        model: Folder of a trained model (models/elpv/mono), or what MLflow loads: `models:/NAME@champion`,
            `models:/NAME/3`, a path.
        sources: Files, folders, lists and patterns, as `find_photographs` reads them. A file that is not an image gets
            a row with its error.
        out: Folder for what is written.

    Raises:
        ValueError: If the model cannot be loaded, or a source holds no file.
    """
    photographs = find_photographs(sources, out)
    rows = list(_rows(load_judge(model), photographs.files, out))
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    with atomic_file(out / TABLE) as draft:
        table.to_csv(draft, index=False)
    return Scored(table, photographs.passed_over)


def load_judge(model: str) -> Judge:
    """Load a model from its folder, or from where MLflow finds it.

    Raises:
        ValueError: If there is none, or it is damaged.
    """
    folder = Path(model)
    if (folder / "model.json").is_file():
        served = ServedDetector()
        served.detector = diffusionad.Detector.load(folder)
        return functools.partial(served.predict, None)
    if folder.is_dir() and not (folder / "MLmodel").is_file():
        below = sorted(str(file.parent) for file in folder.glob("*/model.json"))
        hint = f"; did you mean {' or '.join(below)}?" if below else "; train one first, or name models:/NAME@champion"
        raise ValueError(f"{model}: expected model.json of a trained model or MLmodel of an MLflow one{hint}")
    try:
        return load_served(Path(mlflow.artifacts.download_artifacts(artifact_uri=model))).predict
    except (MlflowException, OSError) as error:
        raise ValueError(f"{model}: cannot be fetched: {' '.join(str(error).split())}") from None


def _rows(judge: Judge, files: Mapping[str, Path], out: Path) -> Iterator[dict[str, Any]]:
    for name, file in tqdm(files.items(), desc="predict", disable=None):
        try:
            data = read_bytes(file)
            answer = judge(pd.DataFrame({"image": [data]}), params={"anomaly_map": True}).iloc[0]
        except (MlflowException, ValueError) as error:
            yield {"path": name, "error": " ".join(str(error).split()).replace("image 0: ", "")}
            continue
        photograph = to_rgb(load(open_image(data, name), name), name)
        anomaly_map = np.asarray(
            Image.open(io.BytesIO(base64.b64decode(answer["anomaly_map"]))), np.float32
        ) / np.float32(255)
        enlarged = resize_image(anomaly_map[..., None], photograph.shape[:2])[..., 0]
        heat, overlay = (mpl.colormaps[colours] for colours in COLOURS)
        pictures = heat(enlarged)[..., :3], _overlay(photograph, enlarged, overlay)
        for kind, pixels in zip(PICTURES, pictures, strict=True):
            _write_picture(out / kind / f"{name}.png", pixels)
        yield {"path": name, **{column: answer.get(column) for column in ANSWERS}, "error": None}


def _overlay(
    photograph: NDArray[np.float32], anomaly_map: NDArray[np.float32], colours: mpl.colors.Colormap
) -> NDArray[np.float32]:
    # The opacity depends on the map alone; that of `stages.evaluate.heat.overlay` depends on the threshold as well.
    weight = anomaly_map[..., None] * STRENGTH
    heat = colours(1 - anomaly_map)[..., :3]
    return np.asarray(photograph * (1 - weight) + heat * weight, dtype=np.float32)


def _write_picture(path: Path, pixels: NDArray[Any]) -> None:
    with atomic_file(path) as draft:
        Image.fromarray(np.round(pixels * 255).astype(np.uint8)).save(draft, "PNG")
