"""From the number of a version alone: its commit and its data in a fresh folder, trained again, and compared."""

import subprocess
from pathlib import Path
from typing import NamedTuple

from mlflow import MlflowClient

from pipelines.digests import file_digest, folder_digest
from pipelines.dvc import run_dvc
from pipelines.registry import get_version
from pipelines.tracking import MODEL
from stages.paths import CategoryPaths


class Reproduction(NamedTuple):
    """What came of it."""

    version: str
    registered: str
    """Digest of the model as registered."""
    again: str
    """Digest of the model made again."""

    @property
    def is_same(self) -> bool:
        """Whether both are the same bytes."""
        return self.again == self.registered


def reproduce(client: MlflowClient, name: str, version: str, folder: Path, repository: Path) -> Reproduction:
    """Check out a version's commit into `folder`, take its data from the cache, train again, compare the model.

    The training itself is not taken from the cache. Data that the cache lacks are made again as well.

    Args:
        client: Of the store.
        name: Of the registered model.
        version: Number or alias.
        folder: New; stays for a look.
        repository: Clone to take commit and cache from.

    Raises:
        ValueError: If the version's lineage does not suffice, the folder is not empty, or a step fails.
    """
    found = get_version(client, name, version)
    tags = found.tags
    if tags.get("git.dirty") != "false":
        raise ValueError(
            f"{name} version {found.version}: registered with uncommitted changes, so its commit alone does not make "
            "it again; commit, then register again"
        )
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder}: not empty; name a new folder")
    _git("clone", "--quiet", "--no-checkout", str(repository), str(folder))
    _git("-C", str(folder), "checkout", "--quiet", tags["git.commit"])
    if file_digest(folder / "dvc.lock") != tags["dvc_lock"]:
        raise ValueError(f"{folder}: dvc.lock of commit {tags['git.commit'][:12]} is not the one that was registered")
    # Shared, so that data need not be fetched again; the clone's own .dvc/config says where it is.
    run_dvc(folder, "cache", "dir", "--local", str((repository / ".dvc" / "cache").absolute()))
    key = tags["key"]
    run_dvc(folder, "checkout", "--allow-missing", "--with-deps", f"train@{key}")
    run_dvc(folder, "repro", f"synthesize@{key}")
    run_dvc(folder, "repro", "--force", "--single-item", "--no-run-cache", f"train@{key}")
    paths = CategoryPaths(tags["dataset"], tags["category"])
    return Reproduction(str(found.version), tags[MODEL], folder_digest(folder / paths.model))


def _git(*arguments: str) -> None:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(f"`git {' '.join(arguments)}` failed: {' '.join(done.stderr.split())}")
