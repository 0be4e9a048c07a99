"""A form as one file: images and noise in, the parts of its output and the image score out.

The batch size is free, the size of the images is the model's. ONNX Runtime and OpenVINO both read the ONNX file; int8
is made with the runtime's own quantiser (ONNX Runtime: QDQ; OpenVINO: NNCF), since each misreads the other's files.
"""

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from diffusionad.base import Form, Output, image_score
from diffusionad.runtime.engines import Variant, require

OPSET = 17
"""The newest ONNX opset that torch's tracing exporter writes."""

CalibrationData = Iterable[tuple[Tensor, Tensor]]
"""Images (1, 3, H, W) and noise (levels, 1, 3, H, W), of normal training images."""


def write_export(form: Form, variant: Variant, calibration: CalibrationData, folder: Path) -> None:
    """Write the files that a runtime reads into an existing folder: model.onnx, or model.xml and model.bin.

    Args:
        form: A model in fp32 and evaluation mode, on the CPU.
        variant: Runtime and precision. bf16 is fp32 in the file: the runtime rounds as it computes.
        calibration: Data from which int8 takes the ranges of activations; not read for the other precisions.
        folder: Folder to write to.

    Raises:
        ValueError: If a package is not installed.
    """
    file = folder / "model.onnx"
    write_onnx(form, file)
    if variant.precision != "int8":
        return
    feeds = [_feed(form, images, noise) for images, noise in calibration]
    if variant.runtime == "onnx":
        _quantise_onnx(file, feeds)
    else:
        _quantise_openvino(file, feeds)


def write_onnx(form: Form, file: Path) -> None:
    """Trace the form into an ONNX file.

    This uses the tracing exporter: the newer one of torch.export fixes the batch of this graph to that of its example
    and takes ten times as long.
    """
    require("onnx", "onnx")
    height, width = form.image_size
    images = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(len(form.noise_keys), *images.shape, generator=torch.Generator().manual_seed(1))
    inputs = {"images": {0: "batch"}, "noise": {1: "batch"}} if form.noise_keys else {"images": {0: "batch"}}
    with torch.no_grad():
        said = form(images, noise)._replace(member_logits=None)._asdict()
    names = [*(name for name, part in said.items() if part is not None), "image_score"]
    outputs = {name: {0: "batch"} for name in names}
    with warnings.catch_warnings(), torch.no_grad():
        # It warns of its age, and of every shape that it stores as a constant, which is intended here.
        warnings.simplefilter("ignore")
        torch.onnx.export(
            _Scored(form),
            (images, noise),
            str(file),
            dynamo=False,
            opset_version=OPSET,
            input_names=["images", "noise"],
            output_names=list(outputs),
            dynamic_axes=inputs | outputs,
        )


class _Scored(nn.Module):
    """A form with the image score, which a program without this package would have to compute itself."""

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form = form

    def forward(self, images: Tensor, noise: Tensor) -> tuple[Tensor, ...]:
        output: Output = self.form(images, noise)._replace(member_logits=None)
        return *(part for part in output if part is not None), image_score(output, self.form.top_k_fraction)


def _feed(form: Form, images: Tensor, noise: Tensor) -> dict[str, Any]:
    feed = {"images": images.contiguous().numpy()}
    return feed | {"noise": noise.contiguous().numpy()} if form.noise_keys else feed


def _quantise_onnx(file: Path, feeds: list[dict[str, Any]]) -> None:
    quantization = require("onnxruntime.quantization", "onnx")
    prepared = file.with_name("prepared.onnx")
    quantization.quant_pre_process(str(file), str(prepared), skip_symbolic_shape=True)
    quantization.quantize_static(
        str(prepared),
        str(file),
        _Reader(iter(feeds)),
        quant_format=quantization.QuantFormat.QDQ,
        op_types_to_quantize=["Conv"],
        per_channel=True,
        # Signed weights of 7 bits: without VNNI, sums of 8-bit products overflow.
        reduce_range=True,
    )
    prepared.unlink()


def _quantise_openvino(file: Path, feeds: list[dict[str, Any]]) -> None:
    openvino, nncf = require("openvino", "openvino"), require("nncf", "openvino")
    model = openvino.Core().read_model(file)
    quantised = nncf.quantize(model, nncf.Dataset(feeds), subset_size=len(feeds))
    openvino.save_model(quantised, file.with_suffix(".xml"), compress_to_fp16=False)
    file.unlink()


class _Reader:
    """The calibration data as ONNX Runtime's quantiser reads it."""

    def __init__(self, feeds: Iterator[dict[str, Any]]) -> None:
        self._feeds = feeds

    def get_next(self) -> dict[str, Any] | None:
        return next(self._feeds, None)
