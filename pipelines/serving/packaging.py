"""A model folder -> the artifact that MLflow registers: weights, `serving_model.py`, `diffusionad`, requirements."""

import base64
import json
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pandas as pd
from mlflow.models import ModelSignature
from mlflow.pyfunc import PyFuncModel, load_model, save_model
from mlflow.types.schema import AnyType, ColSpec, DataType, ParamSchema, ParamSpec, Schema
from packaging.requirements import Requirement

import diffusionad
from diffusionad.data.manifest import read_manifest
from diffusionad.detectors import PLUGIN, Plugin, code_of, find_plugin
from pipelines.digests import folder_digest
from stages.files import read_json
from stages.paths import CategoryPaths

REQUIREMENTS = ("torch", "numpy", "pandas", "pillow", "pydantic", "safetensors", "scipy")
"""Packages that `diffusionad.detector` and the serving code import, beside mlflow; a test compares them."""

NOT_SERVED = ("training", "synthesis", "foreground", "metrics", "evaluation", "deployment", "detectors", "__pycache__")
"""Parts of the package that a prediction does not need; each file costs one request to the store per fetch. Of the
detectors, what kinds share and the folders of the model's own kinds are added."""

OURS = "diffusionad-ops"
"""The distribution of this repository: its code travels in the artifact."""

LEFT_OUT = ("registered_model_meta",)
"""Files that MLflow adds to a model that is fetched by its registered name."""

SIGNATURE = ModelSignature(
    inputs=Schema([ColSpec(AnyType(), "image")]),  # type: ignore[no-untyped-call]  # mlflow types a part of itself
    outputs=Schema(
        [
            ColSpec(DataType.double, "score", required=False),
            ColSpec(DataType.long, "label", required=False),
            ColSpec(DataType.double, "threshold"),
            ColSpec(DataType.double, "normals_above", required=False),
            ColSpec(DataType.double, "latency_ms", required=False),
            ColSpec(DataType.string, "anomaly_map", required=False),
            ColSpec(DataType.string, "error", required=False),
        ]
    ),
    params=ParamSchema([ParamSpec("anomaly_map", DataType.boolean, default=False)]),
)


@contextmanager
def save_served(paths: CategoryPaths) -> Iterator[Path]:
    """Yield a folder with the model as it is to be logged; it is deleted when the block ends.

    Raises:
        ValueError: If the model or the manifest is missing.
    """
    if not paths.model.is_dir():
        raise ValueError(f"{paths.model}: no model here; run `dvc repro` first")
    example = paths.images / read_manifest(paths.manifest)["path"].iloc[0]
    encoded = base64.b64encode(example.read_bytes()).decode()
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        # mlflow writes its example in a way that pandas has deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        folder, kinds = Path(place, "model"), dict.fromkeys(_kinds_in(read_json(paths.model / "model.json")["model"]))
        plugins = {kind: find_plugin(kind) for kind in kinds}
        save_model(
            folder,
            python_model=str(Path(__file__).with_name("serving_model.py")),
            artifacts={"detector": str(paths.model)},
            code_paths=[str(path) for path in _copy_code(plugins, Path(place))],
            signature=SIGNATURE,
            input_example=pd.DataFrame({"image": [encoded]}),
            pip_requirements=[f"{name}=={metadata.version(name)}" for name in _requirements(plugins.values())],
        )
        yield folder


def _kinds_in(settings: Any) -> Iterator[str]:  # noqa: ANN401  # JSON
    """Yield the kind of a model, and those of the members in its settings."""
    if isinstance(settings, dict):
        if "kind" in settings:
            yield settings["kind"]
        for value in settings.values():
            yield from _kinds_in(value)


def _copy_code(kinds: Mapping[str, Plugin | None], place: Path) -> list[Path]:
    """Copy the code that a model of these kinds needs; return its top-level packages."""
    library, target = Path(diffusionad.__path__[0]), place / diffusionad.__name__
    left_out = shutil.ignore_patterns("__pycache__")
    shutil.copytree(library, target, ignore=shutil.ignore_patterns(*NOT_SERVED))
    shutil.copytree(library / "detectors" / "shared", target / "detectors" / "shared", ignore=left_out)
    for file in (library / "detectors").glob("*.py"):
        shutil.copy(file, target / "detectors")
    packages: dict[Path, None] = {target: None}
    for kind, plugin in kinds.items():
        if plugin is None:
            shutil.copytree(library / "detectors" / kind, target / "detectors" / kind, ignore=left_out)
        else:
            packages[_copy_plugin(kind, plugin, target)] = None
    return list(packages)


def _copy_plugin(kind: str, plugin: Plugin, target: Path) -> Path:
    """Copy a plug-in beside the library and its description into it; return the package or module of the plug-in."""
    described = target / "detectors" / kind / PLUGIN
    described.parent.mkdir()
    described.write_text(json.dumps(plugin._asdict()), encoding="utf-8")
    code = code_of(plugin.top)
    assert code is not None  # noqa: S101  # find_plugin has checked it
    if code.is_dir():
        ignored = shutil.ignore_patterns("__pycache__")
        return Path(shutil.copytree(code, target.parent / code.name, ignore=ignored, dirs_exist_ok=True))
    return Path(shutil.copy(code, target.parent))


def _requirements(plugins: Iterable[Plugin | None]) -> list[str]:
    """List the distributions that a served model needs: REQUIREMENTS, and those of plug-ins without extras."""
    names = dict.fromkeys(REQUIREMENTS)
    for text in [each for plugin in plugins if plugin for each in metadata.requires(plugin.package) or []]:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            names[requirement.name] = None
    names.pop(OURS, None)
    return list(names)


def artifact_digest(folder: Path) -> str:
    """Return the digest of a registered model's files: weights, code and metadata.

    Raises:
        ValueError: Same as `folder_digest`.
    """
    return folder_digest(folder, leave_out=LEFT_OUT)


def load_served(folder: Path) -> PyFuncModel:
    """Load an artifact with the code that it holds; the modules of this process stay as they are."""
    inside = {path.stem for path in (folder / "code").iterdir()}
    ours, path = _take_out_modules(inside), list(sys.path)
    try:
        return load_model(str(folder))
    finally:
        _take_out_modules(inside)
        sys.modules.update(ours)
        sys.path[:] = path


def _take_out_modules(packages: set[str]) -> dict[str, ModuleType]:
    names = [name for name in sys.modules if name.split(".")[0] in packages]
    return {name: sys.modules.pop(name) for name in names}
