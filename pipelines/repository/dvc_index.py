"""What DVC knows of a checkout: its graph, its cache, its remotes. Read through its library; nothing is run."""

from collections.abc import Sequence
from pathlib import Path

from dvc.exceptions import DvcException
from dvc.repo import Repo


def stage_graph(folder: Path, targets: Sequence[str]) -> dict[str, frozenset[str]]:
    """Return what each stage needs: of `targets` and all that they need, in an order in which they can run.

    Raises:
        ValueError: If dvc.yaml has no such stage, or cannot be read.
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
    """Whether a remote is configured that `dvc push` takes."""
    with Repo(str(folder)) as repo:
        return bool(repo.config["core"].get("remote"))
