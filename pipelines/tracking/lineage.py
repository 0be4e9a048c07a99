"""Where a model comes from: code, data, settings, environment, licence. A fact that cannot be determined is ""."""

import functools
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path

from diffusionad.data.manifest import manifest_digest, read_metadata
from pipelines.catalogue import Entry
from pipelines.digests import file_digest, text_digest
from pipelines.repository.dvc import changed_stages
from pipelines.repository.git import git
from stages.params import settings_files

DVC_LOCK = Path("dvc.lock")
"""Written by `dvc repro`, so it is a result. It is kept with the run and need not be committed."""
CURRENT = "current"

LICENCE = ("licence", "licence_url", "non_commercial")
"""Facts about the licence of the data, which the manifest holds."""


def is_clean(facts: Mapping[str, str]) -> bool:
    """Whether commit, dvc.lock and result belong together."""
    return facts.get("git.dirty") == "false" and facts.get("dvc_status") == CURRENT


def collect(entry: Entry) -> dict[str, str]:
    """Collect the lineage of a category's result in the current folder.

    Returns:
        git.commit; git.dirty ("true" if a tracked or new file but dvc.lock is not committed, "false", or "" outside
        git); dvc_status ("current" if code, settings, data and results are those of dvc.lock, else the stages that
        changed since); SHA-256 of dvc.lock, the files of settings, the manifest's content and the installed packages;
        licence, licence_url, non_commercial.

    Raises:
        ValueError: If there is no manifest.
    """
    manifest = entry.paths.manifest
    facts = read_metadata(manifest)
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain", "--", f":(exclude){DVC_LOCK}")
    changed = changed_stages(f"evaluate@{entry.key}")
    return {
        "git.commit": commit or "",
        "git.dirty": "" if changes is None else str(bool(changes)).lower(),
        "dvc_status": "" if changed is None else ", ".join(changed) or CURRENT,
        "dvc_lock": file_digest(DVC_LOCK),
        "params": _settings_digest(entry.key),
        "manifest": manifest_digest(manifest),
        "environment": text_digest(environment()),
        **{name: facts.get(name, "") for name in LICENCE},
    }


@functools.cache
def environment() -> str:
    """Return Python's version, the kind of machine and each installed package with its version, one line for each."""
    packages = {f"{package.metadata['Name'].lower()}=={package.version}" for package in metadata.distributions()}
    return (
        "\n".join([f"python=={platform.python_version()}", f"machine=={platform.machine()}", *sorted(packages)]) + "\n"
    )


def _settings_digest(key: str) -> str:
    """Digest of the files of settings of a category; "" where params.yaml is missing or does not have it."""
    try:
        return text_digest(" ".join(map(file_digest, settings_files(key))))
    except ValueError:
        return ""


def _git(*arguments: str) -> str | None:
    try:
        return git(Path.cwd(), *arguments)
    except ValueError:
        return None
