"""The kinds of detectors: one folder each, and those that an installed package brings.

Nothing is imported before a kind is asked for, so what serves one kind loads one kind.
"""

import importlib
import json
import pkgutil
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from diffusionad.base import Model, ModelConfig

GROUP = "diffusionad.detectors"
"""Entry points of other packages: `KIND = package.module`, where the module has CONFIG and MODEL."""
PLUGIN = "plugin.json"
"""What the folder of a kind holds in place of code if the code is an installed package's (`stages.tools.plugins`)."""


class Kind(NamedTuple):
    """What the module of a kind hands out."""

    config: "type[ModelConfig]"
    model: "type[Model]"


def kinds() -> list[str]:
    """Names of all kinds that can be loaded, sorted: folders beside this file, and entry points."""
    folders = {module.name for module in pkgutil.iter_modules(__path__) if module.ispkg}
    return sorted(folders | {file.parent.name for file in _folder().glob(f"*/{PLUGIN}")} | set(entry_points()))


def load(kind: str) -> Kind:
    """Import the module of a kind.

    Raises:
        ValueError: If there is no such kind (the known ones are listed), or its package cannot be imported or does not
            have what it should.
    """
    module = _module_of(kind)
    try:
        found = importlib.import_module(module)
    except Exception as error:
        if module.startswith(f"{__name__}."):
            raise  # a bug here keeps its traceback
        reason = " ".join(str(error).split())
        raise ValueError(f"detector `{kind}`: {module} cannot be imported: {type(error).__name__}: {reason}") from None
    try:
        return Kind(found.CONFIG, found.MODEL)
    except AttributeError as error:
        raise ValueError(f"detector `{kind}`: {module} needs the names CONFIG and MODEL: {error}") from None


def entry_points() -> dict[str, metadata.EntryPoint]:
    """Kinds of installed packages, by name."""
    return {point.name: point for point in metadata.entry_points(group=GROUP)}


def _module_of(kind: str) -> str:
    folder = _folder() / kind
    if kind.isidentifier() and (folder / "model.py").is_file():
        return f"{__name__}.{kind}.model"
    if kind.isidentifier() and (folder / PLUGIN).is_file():
        return str(json.loads((folder / PLUGIN).read_text(encoding="utf-8"))["module"])
    if kind in (points := entry_points()):
        return points[kind].value
    raise ValueError(f"there is no detector `{kind}`; expected one of {', '.join(kinds())}")


def _folder() -> Path:
    return Path(__path__[0])
