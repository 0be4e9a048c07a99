"""Flow `retraining`: if anything has changed, train and judge in a worktree of its own. Made to run unattended."""

import contextlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed

from pipelines.catalogue import Entry, find_categories
from pipelines.flows.report import run_name, tell
from pipelines.flows.retries import ERRORS, run_with_retries
from pipelines.flows.settings import OrchestrationConfig, read_orchestration
from pipelines.flows.training import TrainingOutcome, failed, final_state, judge_training, run_training
from pipelines.launch.states import UNCHANGED
from pipelines.processes import stop_all
from pipelines.repository.changes import STATES, current_state, locked_stages, read_state, write_state
from pipelines.repository.dvc import stream_dvc
from pipelines.repository.dvc_index import has_remote
from pipelines.repository.git import git
from pipelines.repository.workspace import carry_over, commit_lock, workspace

REMOTE = "origin"


@flow(name="retraining", flow_run_name=run_name)
def retraining(
    dataset: str, category: str | None = None, *, force: bool = False, commit: bool = False, publish: bool = False
) -> State[Any]:
    """Retrain what has changed since the last time, and judge the result.

    It works on the last commit, not on the files of the checkout, and leaves the checkout as it is.

    Args:
        dataset: Name of a data set in params.yaml.
        category: One of its categories; None for all of them.
        force: Whether to download the data again even if nothing seems to have changed.
        commit: Whether to commit dvc.lock on a branch of its own, `retraining/...`.
        publish: Whether to push that branch to `origin` as well; implies `commit`.
    """
    checkout = Path.cwd()
    # A data set has no dot in its name, so that no other data set has this one.
    name = f"{dataset}.{category}" if category else dataset
    try:
        config, entries = read_orchestration(), find_categories(dataset, category)
    except ERRORS as error:
        return failed(error)
    try:
        with _alone(entries, checkout):
            return _retrain(entries, config, name, checkout, force=force, commit=commit or publish, publish=publish)
    except ERRORS as error:
        tell(config.notify, f"retraining of {name} failed", str(error))
        return failed(error)
    except BaseException:
        # Otherwise the task runner would wait for the processes of its threads.
        stop_all()
        raise


def _retrain(
    entries: Sequence[Entry],
    config: OrchestrationConfig,
    name: str,
    checkout: Path,
    *,
    force: bool,
    commit: bool,
    publish: bool,
) -> State[Any]:
    now = {
        entry.key: run_with_retries(
            current_state, f"look for changes of {entry.key}", config.retry_wait_s, entry, checkout
        )
        for entry in entries
    }
    last = {entry.key: read_state(entry.key, checkout) for entry in entries}
    changed = {key: state.differs(last[key]) for key, state in now.items() if force or state.differs(last[key])}
    if not changed:
        message = f"nothing changed since the last retraining of {', '.join(now)}"
        get_run_logger().info(message)
        return Completed(name=UNCHANGED, message=message)
    get_run_logger().info("changed: %s", "; ".join(f"{key}: {', '.join(what)}" for key, what in changed.items()))
    with workspace(name, checkout) as folder, contextlib.chdir(folder):
        for state in last.values():
            carry_over(state.stages if state else {}, folder)
        downloads = frozenset(f"download@{key}" for key in changed if force)
        entries = find_categories(*_names(entries, name))
        trained = run_training(entries, config, downloads)
        # Before judging: a champion whose data and model nobody else can fetch would be half a promotion.
        if config.push and has_remote(folder):
            run_with_retries(_push, "push", config.retry_wait_s, folder, config.stage_timeout_s)
        result = judge_training(entries, config, trained)
        if commit:
            _commit(name, result, folder, publish=publish)
        for key, state in now.items():
            write_state(key, state._replace(stages=locked_stages(key, folder)), checkout)
    return final_state(result)


def _names(entries: Sequence[Entry], name: str) -> tuple[str, str | None]:
    dataset = entries[0].paths.dataset
    return dataset, None if name == dataset else entries[0].paths.category


def _push(folder: Path, timeout_s: float) -> None:
    """Push data and models to DVC's remote, where others can fetch them."""
    stream_dvc(folder, get_run_logger().info, timeout_s, "--wait-for-lock", "push")


def _commit(name: str, result: TrainingOutcome, folder: Path, *, publish: bool) -> None:
    if git(folder, "status", "--porcelain", "--", "dvc.lock"):
        branch = f"retraining/{name}/{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        commit_lock(branch, f"Retrain {name}: {result.summary()}", folder)
        get_run_logger().info("dvc.lock is committed on branch %s", branch)
        if publish:
            git(folder, "push", "--quiet", REMOTE, branch)


@contextlib.contextmanager
def _alone(entries: Sequence[Entry], checkout: Path) -> Iterator[None]:
    """Keep other retrainings of the same categories out. The lock of a process that died does not count.

    Raises:
        ValueError: If another retraining is under way.
    """
    (checkout / STATES).mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as stack:
        for entry in sorted(entries, key=lambda entry: entry.key):
            try:
                stack.enter_context(FileLock(checkout / STATES / f"{entry.key}.lock", timeout=0))
            except Timeout:
                raise ValueError(f"{entry.key}: another retraining is under way; nothing was done") from None
        yield
