"""The model as MLflow serves it: a pyfunc around `Detector`, written as code, so that nothing is pickled.

MLflow copies this file and the package `diffusionad` beside the weights and runs them from there; it may import
nothing else of this repository. torch is loaded by `load_context`, not by the import of this file.

Input, one row per image: column `image` with the bytes of an image file, the same as base64 text (standard or url-safe,
padded or not, in lines or in one, or as a `data:` URI), or an array of integers from 0 to 255, shape (H, W) or
(H, W, 3). A row that holds a list of texts stands for as many images: MLflow turns its form `inputs` into such a row.
Parameter `anomaly_map` asks for the maps. Output, one row per image:

score: in [0, 1]; higher is more anomalous.
label: 1 = anomalous, the score reaches the threshold; 0 = normal.
threshold: 0.5 for every model; for one that was trained before scores had a common scale, that of its own scores.
normals_above: share of the normal images of the calibration that score higher; null where they are not kept.
latency_ms: time from the bytes of the image to its score; in a batch, the image's share.
anomaly_map: base64 of an 8-bit PNG at the size of the model's input, 255 = anomalous; null unless asked for.
error: why this image has no score, and null in all other columns but the threshold; null for an image that has one.

A request without a single image that can be scored is refused with the errors of its images, HTTP status 400.
"""

import base64
import binascii
import io
import time
from typing import Any
from urllib.parse import unquote

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from PIL import Image

import diffusionad
from diffusionad.data.decode import open_image
from diffusionad.data.images import fit_photograph

BATCH = 16
COLUMNS = ("score", "label", "threshold", "normals_above", "latency_ms", "anomaly_map", "error")
STANDARD = str.maketrans("-_", "+/")
"""From the url-safe alphabet of base64 to the standard one."""
MAX_ENCODED_BYTES = 64 * 2**20
"""Largest size of an image file. Larger ones are refused before anything is decoded."""


class ServedDetector(PythonModel):
    """What a registered version holds."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights that are stored beside the code."""
        # An attribute, not an import: it is this access that loads torch.
        self.detector = diffusionad.Detector.load(context.artifacts["detector"])

    def predict(
        self, context: PythonModelContext | None, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Score images; the module describes the columns.

        Raises:
            MlflowException: If no image can be scored; the message names the rows.
        """
        del context
        with_map = bool((params or {}).get("anomaly_map", False))
        values = [value for cell in model_input["image"] for value in _values_of(cell)]
        if not values:
            raise _refusal("no images; send at least one row with a column `image`")
        parts = [self._predict(values[at : at + BATCH], at, with_map) for at in range(0, len(values), BATCH)]
        rows = [row for part in parts for row in part]
        errors = [row["error"] for row in rows if row["error"] is not None]
        if len(errors) == len(rows):
            raise _refusal("; ".join(errors))
        return pd.DataFrame({name: _column([row[name] for row in rows]) for name in COLUMNS})

    def _predict(self, values: list[Any], first: int, with_map: bool) -> list[dict[str, Any]]:  # noqa: FBT001  # as it was asked
        """Score one batch; `first` is the row of its first image in the request."""
        # Imported here: it loads torch, which comes with the weights and not with this file.
        from diffusionad.runtime.batches import to_tensor  # noqa: PLC0415

        start = time.perf_counter()
        answers = [dict.fromkeys(COLUMNS) | {"threshold": self.detector.threshold} for _ in values]
        pixels, scored = [], []
        for row, (value, answer) in enumerate(zip(values, answers, strict=True), first):
            try:
                pixels.append(fit_photograph(decode(value, row), self.detector.config.image_size, f"image {row}"))
                scored.append(answer)
            except (MlflowException, ValueError) as error:
                answer["error"] = getattr(error, "message", str(error))
        if not pixels:
            return answers
        found = self.detector.predict(to_tensor(np.stack(pixels)), batch_size=BATCH)
        elapsed_ms = 1000 * (time.perf_counter() - start)
        for index, answer in enumerate(scored):
            answer |= {
                "score": float(found.image_score[index]),
                "label": int(found.is_anomalous[index]),
                "normals_above": None if found.normals_above is None else float(found.normals_above[index]),
                "latency_ms": elapsed_ms / len(scored),
                "anomaly_map": _png(found.anomaly_map[index].numpy()) if with_map else None,
            }
        return answers


def _values_of(cell: Any) -> list[Any]:  # noqa: ANN401  # what a request holds
    """Return the images of a cell: the texts of a list, or the cell itself."""
    listed = list(cell) if isinstance(cell, list | tuple | np.ndarray) and np.ndim(cell) == 1 else []
    return listed if listed and all(isinstance(value, str | bytes) for value in listed) else [cell]


def _column(values: list[Any]) -> "pd.Series[Any]":
    # Of type object where something is missing: MLflow writes None as null, and NaN as NaN, which is no JSON.
    return pd.Series(values, dtype=object if None in values else None)


def decode(value: Any, row: int) -> Image.Image:  # noqa: ANN401  # what a request holds
    """Turn bytes, base64 text or an array into an image.

    Raises:
        MlflowException: If it is none of them; the message names the row.
    """
    name = f"image {row}"
    # base64 has four characters for three bytes; a text that is too long is not even decoded.
    size = len(value) * 3 // 4 if isinstance(value, str) else len(value) if isinstance(value, bytes | bytearray) else 0
    if size > MAX_ENCODED_BYTES:
        raise _refusal(f"{name}: {size / 2**20:.0f} MiB, at most {MAX_ENCODED_BYTES // 2**20} are taken")
    try:
        if isinstance(value, str):
            value = _from_text(value, name)
        if isinstance(value, bytes | bytearray):
            return open_image(bytes(value), name)
        return _from_array(value, name)
    except ValueError as error:
        raise _refusal(str(error)) from None


def _from_text(text: str, name: str) -> bytes:
    """Decode base64, standard or url-safe, whatever its padding and its line breaks, alone or in a `data:` URI."""
    head, comma, payload = text.lstrip().partition(",")
    if comma and head[:5].lower() == "data:":
        if not head.lower().endswith(";base64"):
            raise ValueError(f"{name}: a data: URI without `;base64`; send the file's bytes as base64")
        text = unquote(payload)
    digits = "".join(text.split()).rstrip("=").translate(STANDARD)
    try:
        return base64.b64decode(digits + "=" * (-len(digits) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError(f"{name}: text that is not base64; send the file's bytes as base64") from None


def _from_array(value: Any, name: str) -> Image.Image:  # noqa: ANN401  # nested lists or an array
    try:
        # A data frame turns a nested list into an array of arrays; this makes it one array.
        array = np.array(value.tolist() if isinstance(value, np.ndarray) else value)
    except ValueError:
        raise ValueError(f"{name}: rows of unequal length; expected (H, W) or (H, W, 3)") from None
    whole = array.dtype.kind in "iu" and array.size > 0
    if not whole or (array.ndim, *array.shape[2:]) not in ((2,), (3, 3)) or array.min() < 0 or array.max() > 255:  # noqa: PLR2004  # 8 bits
        raise ValueError(
            f"{name}: expected bytes, base64, or integers from 0 to 255 of shape (H, W) or (H, W, 3); "
            f"got {type(value).__name__} of {array.dtype}, shape {array.shape}"
        )
    return Image.fromarray(array.astype(np.uint8))


def _png(anomaly_map: np.ndarray[Any, Any]) -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.round(anomaly_map * 255).astype(np.uint8)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode()


def _refusal(text: str) -> MlflowException:
    refusal: MlflowException = MlflowException.invalid_parameter_value(text)
    return refusal


mlflow.models.set_model(ServedDetector())
