"""What DVC knows of a checkout: its graph, cache and remotes. Read through DVC's library; no stage is run."""

from collections.abc import Sequence
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo


def stage_graph(folder: Path, targets: Sequence[str]) -> dict[str, frozenset[str]]:
    """Return the direct needs of `targets` and of every stage before them, in an order in which they can run.

    Raises:
        ValueError: If dvc.yaml lacks one of the stages, or cannot be read.
    """
    try:
        with Repo(str(folder)) as repo:
            graph = repo.index.graph
    except DvcException as error:
        raise ValueError(f"{folder / 'dvc.yaml'}: {' '.join(str(error).split())}") from None
    needs = {stage.addressing: frozenset(need.addressing for need in graph.successors(stage)) for stage in graph}
    unknown = [target for target in targets if target not in needs]
    if unknown:
        raise ValueError(f"{folder / 'dvc.yaml'}: no stage {', '.join(unknown)}; it holds {', '.join(sorted(needs))}")
    ordered: dict[str, frozenset[str]] = {}

    def add(stage: str) -> None:
        for need in sorted(needs[stage]):
            add(need)
        ordered.setdefault(stage, needs[stage])

    for target in targets:
        add(target)
    return ordered


def share_cache(checkout: Path, folder: Path) -> None:
    """Let another checkout of the same repository use the cache of this one."""
    with Repo(str(checkout)) as repo:
        cache = repo.cache.local_cache_dir
    with Repo(str(folder)) as repo, repo.config.edit("local") as config:
        config["cache"]["dir"] = cache


def has_remote(folder: Path) -> bool:
    """Whether a default remote is configured, as `dvc push` needs one."""
    with Repo(str(folder)) as repo:
        return bool(repo.config["core"].get("remote"))
