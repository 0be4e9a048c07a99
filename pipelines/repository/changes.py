"""Has anything changed since the last retraining? A look at the source and git answer that."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from pipelines.catalogue import Entry
from pipelines.digests import text_digest
from pipelines.errors import TransientError
from pipelines.repository.git import git
from stages.command import TemporaryError
from stages.common.dataset import DatasetConfig
from stages.download.fetch import FetchConfig
from stages.download.watch.look import MEMORY, look
from stages.download.watch.places import read_mirror
from stages.files import write_json
from stages.params import DETECTORS, PARAMS, read_section

STATES = Path(".local", "retraining")
CODE = ("diffusionad", "stages", "dvc.yaml", str(PARAMS), DETECTORS.as_posix())
"""The code and settings in git that decide a result, beside the data."""


class SourceState(NamedTuple):
    """The data, code and settings that a retraining started from."""

    data: str
    """Digest of what the source holds (`stages.download.watch.look`)."""
    code: str
    """Digest of the committed code and settings."""
    stages: dict[str, Any]
    """Entries of the category in dvc.lock when the retraining ended; {} until then."""

    def differs(self, last: "SourceState | None") -> tuple[str, ...]:
        """Name what has changed since `last`."""
        if last is None:
            return ("first retraining",)
        parts = {"data": self.data != last.data, "code or settings": self.code != last.code}
        return tuple(name for name, changed in parts.items() if changed)


def current_state(entry: Entry, folder: Path) -> SourceState:
    """Look up the current state of a category's source and of a checkout's last commit.

    Raises:
        TransientError: If a server does not answer.
        ValueError: If no source has the data, or the folder is not a git repository with a commit.
    """
    dataset = read_section(DatasetConfig, f"datasets.{entry.paths.dataset}", folder / PARAMS)
    fetch = read_section(FetchConfig, "download.fetch", folder / PARAMS)
    mirror, memory = read_mirror(folder / PARAMS), folder / MEMORY
    try:
        found = look(dataset, entry.paths.category, mirror, timeout_s=fetch.timeout_s, is_known=True, memory=memory)
    except ValueError as error:
        kind = TransientError if isinstance(error, TemporaryError) else ValueError
        raise kind("; ".join(str(error).splitlines())) from None
    return SourceState(found.fingerprint.sha256, _code(folder), {})


def read_state(key: str, folder: Path) -> SourceState | None:
    """Return the state that the last retraining of a category started from; None before the first."""
    file = folder / STATES / f"{key}.json"
    return SourceState(**json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


def write_state(key: str, state: SourceState, folder: Path) -> None:
    """Store the state that a retraining started from, once it has succeeded."""
    write_json(folder / STATES / f"{key}.json", state._asdict())


def locked_stages(key: str, folder: Path) -> dict[str, Any]:
    """Return the entries of a category's stages in dvc.lock."""
    file = folder / "dvc.lock"
    stages = YAML(typ="safe").load(file)["stages"] if file.is_file() else {}
    return {name: content for name, content in stages.items() if name.endswith(f"@{key}")}


def _code(folder: Path) -> str:
    try:
        trees = git(folder, "rev-parse", *(f"HEAD:{name}" for name in CODE))
    except ValueError:
        needed = ", ".join(CODE)
        raise ValueError(
            f"{folder}: a retraining works on committed code, and git has no commit of {needed} here"
        ) from None
    return text_digest(f"{trees}\n")
