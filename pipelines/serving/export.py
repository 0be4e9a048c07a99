"""`diffusionad export`: copy a model folder and add the model in the format of another runtime."""

import importlib
from pathlib import Path

from diffusionad.deployment.parity import ExportConfig
from stages.params import read_section


def export(model: Path, runtime: str, precision: str, out: Path | None) -> str:
    """Export a model and describe the result in one line.

    Args:
        model: Folder of a trained model.
        runtime: `onnx` or `openvino`.
        precision: `fp32`, `bf16` or `int8`.
        out: Folder for the export; None for `exports/...` if the model is in `models/...`.

    Raises:
        ValueError: Same as `stages.tools.export.export`, or if `out` is None and the model is not in `models/`.
    """
    if out is None:
        if model.parts[:1] != ("models",):
            raise ValueError(f"{model}: not below models/; say where to with --out")
        out = Path("exports", *model.parts[1:])
    config = read_section(ExportConfig, "export")
    # Imported by name: the tool loads torch, which the other commands do not need.
    stage, engines = (importlib.import_module(name) for name in ("stages.tools.export", "diffusionad.runtime.engines"))
    record = stage.export(config, engines.Variant(runtime, precision), model=model, out=out)
    auroc = (
        ""
        if record.image_auroc is None
        else (f"; image AUROC on the validation set {record.image_auroc:.3f}, torch {record.image_auroc_torch:.3f}")
    )
    slower = "" if record.speedup > 1 else "; `auto` will not take it"
    return (
        f"{out / str(record.variant)}: the map differs from torch's by up to {record.map_difference:.1e}{auroc}; "
        f"{record.ms:.1f} ms per image, torch {record.ms_torch:.1f}: {record.speedup:.2f} times as fast{slower}"
    )
