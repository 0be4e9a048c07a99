"""Numbers of the authors' implementation and settings of a tiny detector; no torch, which metrics do not need."""

import copy
import json
import zlib
from pathlib import Path

import numpy as np
import pytest

GOLDEN = Path(__file__).parents[1] / "golden" / "golden_32.npz"


@pytest.fixture(scope="session")
def golden():
    """Inputs and outputs of the authors' implementation on a tiny network, in evaluation mode on a CPU."""
    with np.load(GOLDEN, allow_pickle=False) as stored:
        return dict(stored)


@pytest.fixture(scope="session")
def golden_weights(golden):
    """Weights behind those numbers, "unet" or "seg", under the authors' names: a formula of the name and the shape."""

    def weight(prefix, key, shape):
        z = np.random.Generator(np.random.PCG64(zlib.crc32((prefix + key).encode()))).standard_normal(shape)
        z = np.asarray(z, np.float32)
        if key.endswith("num_batches_tracked"):
            return np.zeros(shape, np.int64)
        if key.endswith("running_mean") or (key.endswith("bias") and len(shape) == 1):
            return np.float32(0.1) * z
        if key.endswith("running_var"):
            return 1 + np.float32(0.1) * abs(z)
        if key.endswith("weight") and len(shape) == 1:
            return 1 + np.float32(0.1) * z
        return z / np.float32(np.sqrt(np.prod(shape[1:])))

    def weights(network):
        shapes = [tuple(json.loads(str(shape))) for shape in golden[f"{network}_shapes"]]
        keys = [str(key) for key in golden[f"{network}_keys"]]
        return {key: weight(f"{network}.", key, shape) for key, shape in zip(keys, shapes, strict=True)}

    return weights


@pytest.fixture
def tiny_model():
    """Settings of a diffusion detector as plain data, of networks that take milliseconds."""
    # Here: metrics do without torch.
    from toys.detectors import TINY  # noqa: PLC0415

    return copy.deepcopy(TINY)
