"""Rebuild a version from nothing but its number: check out its commit and data, train again, compare the models."""

import shutil
import tempfile
from pathlib import Path
from typing import NamedTuple

from mlflow import MlflowClient

from pipelines.digests import file_digest, folder_digest
from pipelines.promotion.registry import get_version, run_of
from pipelines.repository.dvc import run_dvc
from pipelines.repository.git import git
from pipelines.tracking.lineage import DVC_LOCK, is_clean
from pipelines.tracking.track import LOCK_ARTIFACT, MODEL, download_artifact
from stages.paths import CategoryPaths


class Reproduction(NamedTuple):
    """The digests of a registered model and of the one that was rebuilt."""

    version: str
    """Number of the version."""
    registered: str
    """Digest of the registered model."""
    rebuilt: str
    """Digest of the rebuilt model."""

    @property
    def is_same(self) -> bool:
        """Whether both are the same bytes."""
        return self.rebuilt == self.registered


def reproduce(client: MlflowClient, name: str, version: str, folder: Path, repository: Path) -> Reproduction:
    """Check out a version's commit into `folder`, put its dvc.lock there, train again, and compare the models.

    Data come from DVC's cache, and are made again if it lacks them. The training is always run.

    Args:
        client: Client of the store.
        name: Name of the registered model.
        version: Number or alias of the version.
        folder: New folder to work in; it is kept for inspection.
        repository: Clone that has the commit and the cache.

    Raises:
        ValueError: If the version's lineage is incomplete, the folder is not empty, or a step fails.
    """
    found = get_version(client, name, version)
    tags = found.tags
    if not is_clean(tags):
        raise ValueError(
            f"{name} version {found.version}: registered with uncommitted changes, or before `dvc repro` had caught up "
            "with them, so its commit does not rebuild it; commit, run `dvc repro`, then register again"
        )
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"{folder}: not empty; name a new folder")
    git(Path.cwd(), "clone", "--quiet", "--no-checkout", str(repository), str(folder))
    git(folder, "checkout", "--quiet", tags["git.commit"])
    _lay_lock(run_of(found), folder / DVC_LOCK, tags["dvc_lock"])
    # The cache is shared, so that data need not be fetched again.
    run_dvc(folder, "cache", "dir", "--local", str((repository / ".dvc" / "cache").absolute()))
    key = tags["key"]
    run_dvc(folder, "checkout", "--allow-missing", "--with-deps", f"train@{key}")
    # The version was made of what the source held then.
    run_dvc(folder, "repro", f"synthesize@{key}", looks=False)
    run_dvc(folder, "repro", "--force", "--single-item", "--no-run-cache", f"train@{key}")
    paths = CategoryPaths(tags["dataset"], tags["category"])
    return Reproduction(str(found.version), tags[MODEL], folder_digest(folder / paths.model))


def _lay_lock(run_id: str, place: Path, stated: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        lock = download_artifact(run_id, LOCK_ARTIFACT, folder)
        if lock is None or file_digest(lock) != stated:
            raise ValueError(f"run {run_id}: its {LOCK_ARTIFACT} is missing, or not the one that was registered")
        shutil.copyfile(lock, place)
