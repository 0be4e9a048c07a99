"""The kinds of detectors: one folder each, and those that installed packages bring.

A kind is imported only when it is asked for, so a process that serves one kind loads one kind.
"""

import hashlib
import importlib
import importlib.util
import json
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from diffusionad.base import Model, ModelConfig

GROUP = "diffusionad.detectors"
"""Group of the entry points of other packages: `KIND = "package.module"`; the module has CONFIG and MODEL."""
PLUGIN = "plugin.json"
"""File in the folder of a kind whose code is that of an installed package."""


class Kind(NamedTuple):
    """The two classes that the module of a kind exports."""

    config: "type[ModelConfig]"
    model: "type[Model]"


class Plugin(NamedTuple):
    """A kind that an installed package brings: plugin.json."""

    package: str
    """Name of the distribution, as pip knows it."""
    version: str
    module: str
    """Module with CONFIG and MODEL."""
    digest: str
    """SHA-256 of the package's code, so that another version is another input of a training."""

    @property
    def top(self) -> str:
        """Name of the module's top-level package."""
        return self.module.split(".")[0]


def kinds() -> list[str]:
    """Names of all kinds that can be loaded, sorted: folders beside this file, and entry points."""
    folders = {file.parent.name for name in ("model.py", PLUGIN) for file in _folder().glob(f"*/{name}")}
    return sorted(folders | set(entry_points()))


def check_kind(kind: str) -> None:
    """Refuse a kind that nobody brings, without importing one.

    Raises:
        ValueError: If there is no such kind; the known ones are listed.
    """
    # Our own folders first: entry points are looked up in the facts of every installed package.
    if not (_has(kind, "model.py") or _has(kind, PLUGIN) or kind in entry_points()):
        raise ValueError(f"there is no detector `{kind}`; expected one of {', '.join(kinds())}")


def load(kind: str) -> Kind:
    """Import the module of a kind.

    Raises:
        ValueError: If there is no such kind (the known ones are listed), or its package cannot be imported, is another
            version than the one that was added, or lacks CONFIG or MODEL.
    """
    check_kind(kind)
    if _has(kind, "model.py"):
        found = importlib.import_module(f"{__name__}.{kind}.model")
        return Kind(found.CONFIG, found.MODEL)
    plugin = find_plugin(kind)
    assert plugin is not None  # noqa: S101  # a kind that is known and not ours
    try:
        found = importlib.import_module(plugin.module)
        return Kind(found.CONFIG, found.MODEL)
    except Exception as error:  # noqa: BLE001  # foreign code may raise anything
        reason = " ".join(str(error).split())
        raise ValueError(
            f"detector `{kind}` of package {plugin.package}: {plugin.module} cannot be used: "
            f"{type(error).__name__}: {reason}; it needs the names CONFIG and MODEL"
        ) from None


def find_plugin(kind: str) -> Plugin | None:
    """Find the package that brings a kind; None for a kind of this package, or an unknown one.

    Raises:
        ValueError: If the package that was added is not installed, or its code has changed since.
    """
    if not _has(kind, PLUGIN):
        return read_plugin(kind) if kind in entry_points() else None
    added = Plugin(**json.loads((_folder() / kind / PLUGIN).read_text(encoding="utf-8")))
    found = code_digest(added.top)
    if found != added.digest:
        what = "is not installed" if found is None else "has other code than the version that was added"
        raise ValueError(
            f"detector `{kind}`: package {added.package} {added.version} {what}; install it, or take over the one that "
            f"is installed with `diffusionad plugin add {kind}`"
        )
    return added


def read_plugin(kind: str) -> Plugin:
    """Describe the installed package that brings a kind.

    Raises:
        ValueError: If no installed package does.
    """
    point = entry_points().get(kind)
    if point is None or point.dist is None:
        known = ", ".join(entry_points()) or "none"
        raise ValueError(f"no installed package brings a detector `{kind}`; those that are brought: {known}")
    digest = code_digest(point.value.split(".")[0])
    return Plugin(point.dist.name, point.dist.version, point.value, digest or "")


def entry_points() -> dict[str, metadata.EntryPoint]:
    """Kinds of installed packages, by name."""
    return {point.name: point for point in metadata.entry_points(group=GROUP)}


def code_digest(top: str) -> str | None:
    """SHA-256 of the Python files of a top-level package, which is not imported; None if it is not installed."""
    place = code_of(top)
    if place is None:
        return None
    digest = hashlib.sha256()
    for file in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
        digest.update(file.relative_to(place.parent).as_posix().encode())
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def code_of(top: str) -> Path | None:
    """Folder or file of a top-level package, which is not imported; None if it is not installed."""
    spec = importlib.util.find_spec(top)
    if spec is None:
        return None
    if spec.submodule_search_locations:
        return Path(next(iter(spec.submodule_search_locations)))
    return None if spec.origin is None else Path(spec.origin)


def _has(kind: str, name: str) -> bool:
    """Whether the folder of a kind holds a file; what is no name has no folder."""
    return kind.isidentifier() and (_folder() / kind / name).is_file()


def _folder() -> Path:
    return Path(__path__[0])
