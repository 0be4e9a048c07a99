"""The runtimes behind one call: images and noise in, mask logits and reconstructions out, all on the CPU.

ONNX Runtime and OpenVINO are extras: they are imported only when they are asked for.
"""

import importlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from diffusionad.base import Form, Output
from diffusionad.networks.layout import has_bf16, memory_format

Runtime = Literal["torch", "onnx", "openvino"]
Precision = Literal["fp32", "bf16", "int8"]

Engine = Callable[[Tensor, Tensor], Output]
"""Images (B, 3, H, W) in [0, 1] and noise (levels, B, 3, H, W), float32 on the CPU -> Output on the CPU."""

MODULES: dict[Runtime, str] = {"torch": "torch", "onnx": "onnxruntime", "openvino": "openvino"}
EXPORTS: tuple[tuple[Runtime, Precision], ...] = (
    ("onnx", "fp32"),
    ("onnx", "int8"),
    ("openvino", "fp32"),
    ("openvino", "bf16"),
    ("openvino", "int8"),
)
"""Runtimes and precisions of exports; ONNX Runtime has no bf16 convolution on a CPU."""


class Variant(NamedTuple):
    """A runtime at a precision."""

    runtime: Runtime
    precision: Precision

    def __str__(self) -> str:
        return f"{self.runtime}-{self.precision}"


def require(module: str, extra: str) -> ModuleType:
    """Import a package of an extra.

    Raises:
        ValueError: If it is not installed; the message names the extra.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError:
        raise ValueError(f"{module} is not installed; run `.venv/bin/pip install -e '.[{extra}]'`") from None


def torch_engine(form: Form, precision: Precision = "fp32", *, compiled: bool = False) -> Engine:
    """Run a form in torch on the device of its weights, without autograd.

    Args:
        form: A model in evaluation mode.
        precision: fp32, or bf16 as `Form.in_bf16` makes it; autocast would cast every weight and normalise in float32,
            at 1.7 times the time.
        compiled: Whether `torch.compile` fuses it, which takes minutes at the first call of each batch size and needs
            a C++ compiler.

    Raises:
        ValueError: If the CPU has no bf16 instructions and bf16 is asked for, or int8 is.
    """
    device = next(form.parameters()).device
    if precision == "int8":
        raise ValueError("torch has no int8 runtime here; export to onnx or openvino")
    if precision == "bf16" and device.type == "cpu" and not has_bf16():
        raise ValueError("this CPU has no bf16 instructions and emulates them, many times slower; use fp32")
    placed = form.in_bf16() if precision == "bf16" else form
    run: Callable[[Tensor, Tensor], Output] = torch.compile(placed) if compiled else placed

    @torch.inference_mode()
    def engine(images: Tensor, noise: Tensor) -> Output:
        output = run(images.to(device, memory_format=memory_format(device)), noise.to(device))
        return output.map(Tensor.cpu)

    return engine


def onnx_engine(file: Path, threads: int) -> Engine:
    """Open an exported file in ONNX Runtime on the CPU.

    Raises:
        ValueError: If ONNX Runtime is not installed, or the file is not a model.
    """
    runtime = require("onnxruntime", "onnx")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = threads
    # Threads that spin between calls take the processor from whatever reads the next images.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    # The errors of ONNX Runtime have no common base but Exception.
    except Exception as error:  # noqa: BLE001
        raise ValueError(f"{file}: ONNX Runtime cannot read it: {' '.join(str(error).split())}") from None
    inputs = {node.name for node in session.get_inputs()}
    names = [node.name for node in session.get_outputs() if node.name in Output._fields]

    def engine(images: Tensor, noise: Tensor) -> Output:
        feed = {"images": images.contiguous().numpy(), "noise": noise.contiguous().numpy()}
        answers = session.run(names, {name: feed[name] for name in inputs})
        return Output(**dict(zip(names, map(torch.from_numpy, answers), strict=True)))

    return engine


def openvino_engine(file: Path, precision: Precision, threads: int) -> Engine:
    """Open an exported file in OpenVINO on the CPU; each batch size is compiled at its first call.

    Raises:
        ValueError: If OpenVINO is not installed, or the file is not a model.
    """
    openvino = require("openvino", "openvino")
    core = openvino.Core()
    settings = {
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        # Explicit: by default OpenVINO takes bf16 where the processor has it.
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bf16" else "f32",
    }
    try:
        model = core.read_model(file)
    # The errors of OpenVINO have no common base but RuntimeError.
    except RuntimeError as error:
        raise ValueError(f"{file}: OpenVINO cannot read it: {' '.join(str(error).split())}") from None
    names = [node.any_name for node in model.outputs if node.any_name in Output._fields]
    requests: dict[int, Any] = {}

    def engine(images: Tensor, noise: Tensor) -> Output:
        batch = len(images)
        if batch not in requests:
            shapes = {"images": list(images.shape), "noise": list(noise.shape)}
            static = model.clone()
            static.reshape({node.any_name: shapes[node.any_name] for node in static.inputs})
            requests[batch] = core.compile_model(static, "CPU", settings).create_infer_request()
        request = requests[batch]
        feed = {"images": images.contiguous().numpy(), "noise": noise.contiguous().numpy()}
        request.infer({node.any_name: feed[node.any_name] for node in model.inputs})
        # Copied: the request writes into the same memory at the next call.
        return Output(**{name: torch.from_numpy(request.get_tensor(name).data.copy()) for name in names})

    return engine


def open_engine(folder: Path, variant: Variant, threads: int) -> Engine:
    """Open the model that `diffusionad.deployment.export` wrote into a folder.

    Raises:
        ValueError: If the runtime is not installed, or the file is missing or damaged.
    """
    found = [folder / name for name in ("model.onnx", "model.xml") if (folder / name).is_file()]
    if not found:
        raise ValueError(f"{folder}: no exported model here; run `diffusionad export`")
    if variant.runtime == "onnx":
        return onnx_engine(found[0], threads)
    return openvino_engine(found[0], variant.precision, threads)
