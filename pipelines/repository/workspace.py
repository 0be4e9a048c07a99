"""A git worktree beside the checkout; it shares DVC's cache, MLflow's store and the saved states of trainings."""

import contextlib
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from filelock import FileLock
from ruamel.yaml import YAML

from pipelines.processes import end_inside
from pipelines.repository.dvc import run_dvc
from pipelines.repository.dvc_index import share_cache
from pipelines.repository.git import git
from stages.download.watch.look import MEMORY

PLACE = Path(".local", "worktrees")
SHARED = (Path(".local", "mlflow"), Path(".local", "training"), MEMORY)
"""Folders that worktrees share with the checkout, so that a training that was killed resumes in the next worktree, and
what was hashed is not hashed again."""
GIT_S = 600
"""How long to wait for another process that changes the worktrees, s."""


@contextlib.contextmanager
def workspace(name: str, checkout: Path) -> Iterator[Path]:
    """Make a worktree of the last commit; remove it when the block succeeds, keep it for inspection when it fails.

    What a killed block left behind is removed first, its processes included.

    Args:
        name: Name of the folder. The caller makes sure that nobody else uses it.
        checkout: Root of the repository.

    Raises:
        ValueError: If git or DVC fails.
    """
    folder = (checkout / PLACE / name).resolve()
    end_inside(folder)
    with _git_lock(checkout):
        _remove(folder, checkout)
        git(checkout, "worktree", "add", "--detach", "--quiet", str(folder), "HEAD")
    for shared in SHARED:
        (checkout / shared).mkdir(parents=True, exist_ok=True)
        (folder / shared).parent.mkdir(parents=True, exist_ok=True)
        (folder / shared).symlink_to((checkout / shared).resolve(), target_is_directory=True)
    local = checkout / ".dvc" / "config.local"
    if local.is_file():
        # It holds the credentials of remotes.
        shutil.copy(local, folder / ".dvc" / local.name)
    share_cache(checkout, folder)
    yield folder
    with _git_lock(checkout):
        _remove(folder, checkout)


def carry_over(stages: Mapping[str, Any], folder: Path) -> None:
    """Put entries of stages into a worktree's dvc.lock, and check out those of their outputs that the cache has."""
    if not stages:
        return
    yaml, file = YAML(), folder / "dvc.lock"
    lock: dict[str, Any] = yaml.load(file) if file.is_file() else {"schema": "2.0", "stages": {}}
    lock["stages"].update(stages)
    yaml.dump(lock, file)
    run_dvc(folder, "checkout", "--quiet", "--force", "--allow-missing", *stages)


def commit_lock(branch: str, message: str, folder: Path) -> str:
    """Commit a worktree's dvc.lock on a new branch, and return the commit.

    Raises:
        ValueError: If git refuses, for example because the branch exists or user.name is not set.
    """
    git(folder, "switch", "--quiet", "--create", branch)
    git(folder, "add", "dvc.lock")
    git(folder, "commit", "--quiet", "--message", message)
    return git(folder, "rev-parse", "HEAD")


def _git_lock(checkout: Path) -> FileLock:
    # Worktrees that are made at the same time would write to .git at the same time.
    (checkout / PLACE).mkdir(parents=True, exist_ok=True)
    return FileLock(checkout / PLACE / "git.lock", timeout=GIT_S)


def _remove(folder: Path, checkout: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)
    git(checkout, "worktree", "prune")
