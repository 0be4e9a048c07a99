"""The model as MLflow serves it: a pyfunc around `Detector`, written as code, so that nothing is pickled.

MLflow copies this file and the package `diffusionad` beside the weights and runs them from there; it may import
nothing else of this repository. torch is loaded by `load_context`, not by the import of this file.

Input, one row per image: column `image` with the bytes of an image file, the same as base64 text, or an array of
integers from 0 to 255, shape (H, W) or (H, W, 3). Parameter `anomaly_map` asks for the maps. Output, one row per image:

score: in [0, 1]; higher is more anomalous.
label: 1 = anomalous, the score reaches the threshold; 0 = normal.
threshold: 0.5 for every model; for one that was trained before scores had a common scale, that of its own scores.
normals_above: share of the normal images of the calibration that score higher; null where they are not kept.
latency_ms: time from the bytes of the image to its score; in a batch, the image's share.
anomaly_map: base64 of an 8-bit PNG at the size of the model's input, 255 = anomalous; null unless asked for.
"""

import base64
import binascii
import io
import time
from typing import Any

import mlflow
import numpy as np
import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.pyfunc.model import PythonModel, PythonModelContext
from PIL import Image

import diffusionad
from diffusionad.data.decode import open_image

BATCH = 16
MAX_ENCODED_BYTES = 64 * 2**20
"""Largest size of an image file. Larger ones are refused before anything is decoded."""


class ServedDetector(PythonModel):
    """What a registered version holds."""

    def load_context(self, context: PythonModelContext) -> None:
        """Load the weights that are stored beside the code."""
        # An attribute, not an import: it is this access that loads torch.
        self.detector = diffusionad.Detector.load(context.artifacts["detector"])

    def predict(
        self, context: PythonModelContext, model_input: pd.DataFrame, params: dict[str, Any] | None = None
    ) -> pd.DataFrame:
        """Score images; the module describes the columns.

        Raises:
            MlflowException: If one is not an image; the message names the row.
        """
        del context
        with_map = bool((params or {}).get("anomaly_map", False))
        images = [decode(value, row) for row, value in enumerate(model_input["image"])]
        parts = [self._predict(images[first : first + BATCH], with_map) for first in range(0, len(images), BATCH)]
        if not parts:
            raise _refusal("no images; send at least one row with a column `image`")
        return pd.concat(parts, ignore_index=True)

    def _predict(self, images: list[Image.Image], with_map: bool) -> pd.DataFrame:  # noqa: FBT001  # as it was asked
        start = time.perf_counter()
        try:
            prediction = self.detector.predict(images, batch_size=BATCH)
        except ValueError as error:
            raise _refusal(str(error)) from None
        elapsed_ms = 1000 * (time.perf_counter() - start)
        return pd.DataFrame(
            {
                "score": prediction.image_score.numpy(),
                "label": prediction.is_anomalous.numpy().astype(np.int64),
                "threshold": self.detector.threshold,
                "normals_above": np.nan if prediction.normals_above is None else prediction.normals_above.numpy(),
                "latency_ms": elapsed_ms / len(images),
                "anomaly_map": [_png(map_.numpy()) if with_map else None for map_ in prediction.anomaly_map],
            }
        )


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
    if isinstance(value, str):
        try:
            value = base64.b64decode(value, validate=True)
        except (binascii.Error, ValueError):
            raise _refusal(f"{name}: text that is not base64; send the file's bytes as base64") from None
    try:
        if isinstance(value, bytes | bytearray):
            return open_image(bytes(value), name)
        return _from_array(value, name)
    except ValueError as error:
        raise _refusal(str(error)) from None


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
