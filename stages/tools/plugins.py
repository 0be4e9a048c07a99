"""Add a kind of detector from an installed package to this repository: `diffusionad plugin add KIND`."""

import json
import shutil
from pathlib import Path

from diffusionad import detectors
from stages.files import atomic_file
from stages.params import DETECTORS

FOLDER = Path("diffusionad", "detectors")


def add_plugin(kind: str, root: Path = Path()) -> list[Path]:
    """Write what DVC tracks of an installed kind: the digest of its code and, unless the file exists, its settings.

    Args:
        kind: Name of an entry point of the group `diffusionad.detectors`.
        root: Root of the repository.

    Returns:
        The files written: diffusionad/detectors/KIND/plugin.json, and params/detectors/KIND.yaml, a copy of the file
        KIND.yaml beside the module that the entry point names.

    Raises:
        ValueError: If no installed package brings the kind, it is one of this package, or it ships no settings.
    """
    folder = root / FOLDER / kind
    if (folder / "model.py").is_file():
        raise ValueError(f"{folder}: a detector of this package; a plug-in needs another name")
    plugin = detectors.read_plugin(kind)
    settings = root / DETECTORS / f"{kind}.yaml"
    written = []
    if not settings.is_file():
        shipped = _shipped_settings(plugin, kind)
        if shipped is None:
            raise ValueError(
                f"{settings}: not found, and {plugin.package} ships no {kind}.yaml; write its settings there"
            )
        with atomic_file(settings) as draft:
            shutil.copyfile(shipped, draft)
        written.append(settings)
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_file(folder / detectors.PLUGIN) as draft:
        draft.write_text(json.dumps(plugin._asdict(), indent=2) + "\n", encoding="utf-8")
    return [folder / detectors.PLUGIN, *written]


def _shipped_settings(plugin: detectors.Plugin, kind: str) -> Path | None:
    top = detectors.code_of(plugin.top)
    if top is None:
        return None
    inner = plugin.module.split(".")[1:-1]
    file = (top if top.is_dir() else top.parent).joinpath(*inner, f"{kind}.yaml")
    return file if file.is_file() else None
