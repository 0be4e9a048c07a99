"""Where a model comes from: code, data, settings, environment, licence. Facts that cannot be had are ""."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path

from diffusionad.data.manifest import manifest_digest, read_metadata
from pipelines.digests import file_digest, text_digest
from stages.params import PARAMS
from stages.paths import CategoryPaths

DVC_LOCK = Path("dvc.lock")


def collect(paths: CategoryPaths) -> dict[str, str]:
    """Gather the lineage of what lies in the current folder.

    Returns:
        git.commit; git.dirty ("true" if a tracked or new file is not committed, "false", or "" outside git); SHA-256
        of dvc.lock, params.yaml, the manifest's content and the installed packages; licence, licence_url.

    Raises:
        ValueError: If there is no manifest.
    """
    facts = read_metadata(paths.manifest)
    commit = _git("rev-parse", "HEAD")
    changes = _git("status", "--porcelain")
    return {
        "git.commit": commit or "",
        "git.dirty": "" if changes is None else str(bool(changes)).lower(),
        "dvc_lock": file_digest(DVC_LOCK),
        "params": file_digest(PARAMS),
        "manifest": manifest_digest(paths.manifest),
        "environment": text_digest(environment()),
        "licence": facts.get("licence", ""),
        "licence_url": facts.get("licence_url", ""),
    }


def environment() -> str:
    """Name Python, the kind of machine and each installed package with its version, a line each."""
    packages = {f"{package.metadata['Name'].lower()}=={package.version}" for package in metadata.distributions()}
    return (
        "\n".join([f"python=={platform.python_version()}", f"machine=={platform.machine()}", *sorted(packages)]) + "\n"
    )


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
