"""Flow `sweep`: every combination of categories, seeds and settings, each in a worktree of its own, side by side."""

import itertools
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.futures import PrefectFuture, as_completed
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed
from prefect.task_runners import TaskRunner, ThreadPoolTaskRunner
from ruamel.yaml import YAML

from pipelines.catalogue import Entry, find_categories
from pipelines.digests import text_digest
from pipelines.flows.report import run_name
from pipelines.flows.retries import ERRORS, with_retries
from pipelines.flows.settings import OrchestrationConfig, read_orchestration
from pipelines.flows.training import failed
from pipelines.processes import stop_all
from pipelines.promotion.decision import show
from pipelines.repository.changes import locked_stages
from pipelines.repository.dvc import stream_dvc
from pipelines.repository.workspace import carry_over, workspace
from stages.common.schemas import INTERVAL_ENDS, read_metrics
from stages.files import atomic_file
from stages.params import PARAMS
from stages.tools.settings import lay_over

OUT = Path(".local", "sweeps")
SEED = "training.seed"
LOCAL = "local"
"""Stands for the address of a Dask scheduler: one is started on this machine for the duration of the flow."""


class Cell(NamedTuple):
    """One combination of a category and settings."""

    entry: Entry
    settings: dict[str, Any]
    """Values by dotted name, laid over params.yaml."""

    @property
    def name(self) -> str:
        """Name of the combination's folder and task."""
        return f"{self.entry.key}-{text_digest(repr(sorted(self.settings.items())))[:8]}"


@flow(name="sweep", flow_run_name=run_name)
def sweep(
    dataset: str,
    category: str | None = None,
    seeds: tuple[int, ...] = (0,),
    settings: dict[str, list[Any]] | None = None,
) -> State[Any]:
    """Train and evaluate every combination, starting from the last commit, and tabulate the figures.

    Nothing is registered. What DVC has run before with the same settings comes from its cache, so a sweep that was
    stopped goes on when it is started again.

    Args:
        dataset: Name of a data set in params.yaml.
        category: One of its categories; None for all of them.
        seeds: Values of `training.seed`.
        settings: Values of further settings by dotted name: {"training.steps": [300, 600]}.
    """
    try:
        config, made = read_orchestration(), list(cells(find_categories(dataset, category), seeds, settings or {}))
        rows = run_cells.with_options(task_runner=_task_runner(config))(made, Path.cwd(), config)
        return _finish(rows, dataset)
    except ERRORS as error:
        return failed(error)
    except BaseException:
        stop_all()
        raise


@flow(name="sweep cells", persist_result=False, validate_parameters=False)
def run_cells(made: list[Cell], checkout: Path, config: OrchestrationConfig) -> list[dict[str, Any]]:
    """Run each combination; return one row for each, in the order in which they ended, with its figures or error."""
    run = with_retries(run_cell, "combination", "{cell.name}", config.retry_wait_s)
    rows: list[dict[str, Any]] = []
    try:
        futures: dict[PrefectFuture[Any], Cell] = {
            run.submit(cell, checkout, config.stage_timeout_s): cell for cell in made
        }
        for future in as_completed(list(futures)):
            # The future knows that it has ended a little before the server does.
            future.wait()
            cell, state = futures[future], future.state
            row = {"category": cell.entry.model_name, **cell.settings}
            rows.append(
                row | (future.result() if state.is_completed() else {"error": state.message or str(state.name)})
            )
    except BaseException:
        # Before the task runner waits for its threads.
        stop_all()
        raise
    return rows


def cells(entries: Sequence[Entry], seeds: Sequence[int], settings: Mapping[str, Sequence[Any]]) -> list[Cell]:
    """List the combinations.

    Raises:
        ValueError: If a setting has no values.
    """
    axes = {SEED: list(seeds), **{name: list(values) for name, values in settings.items()}}
    empty = [name for name, values in axes.items() if not values]
    if empty:
        raise ValueError(f"sweep: no values for {', '.join(empty)}")
    combinations = [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
    return [Cell(entry, combination) for entry in entries for combination in combinations]


def run_cell(cell: Cell, checkout: Path, timeout_s: float) -> dict[str, Any]:
    """Train and evaluate one combination with DVC in a worktree, and return its figures."""
    with workspace(cell.name, checkout) as folder:
        carry_over(locked_stages(cell.entry.key, checkout), folder)
        _set(cell.settings, folder)
        target = f"evaluate@{cell.entry.key}"
        stream_dvc(folder, get_run_logger().info, timeout_s, "--wait-for-lock", "repro", target)
        return read_metrics(folder / cell.entry.paths.metrics).numbers


def _set(settings: Mapping[str, Any], folder: Path) -> None:
    profile: dict[str, Any] = {}
    for name, value in settings.items():
        *above, last = name.split(".")
        section = profile
        for key in above:
            section = section.setdefault(key, {})
        section[last] = value
    file = folder / ".dvc" / "tmp" / "sweep.yaml"
    file.parent.mkdir(parents=True, exist_ok=True)
    YAML().dump(profile, file)
    lay_over(file, folder / PARAMS)


def _task_runner(config: OrchestrationConfig) -> TaskRunner[Any]:
    """Return threads that wait for processes, or Dask, as the setting says."""
    where, workers = config.sweep.dask, config.sweep.workers
    if where is None:
        return ThreadPoolTaskRunner(max_workers=workers)
    try:
        from prefect_dask.task_runners import DaskTaskRunner  # noqa: PLC0415  # extra `cluster`
    except ModuleNotFoundError:
        raise ValueError(
            "params.yaml: orchestration.sweep.dask needs an extra: .venv/bin/pip install -e '.[cluster]'"
        ) from None
    if where == LOCAL:
        return DaskTaskRunner(cluster_kwargs={"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None})
    return DaskTaskRunner(address=where)


def _finish(rows: list[dict[str, Any]], dataset: str) -> State[Any]:
    table = pd.DataFrame(rows)
    place = OUT / f"{dataset}-{datetime.now(UTC):%Y%m%dT%H%M%SZ}.csv"
    with atomic_file(place) as draft:
        table.to_csv(draft, index=False)
    shown = [column for column in table if column not in INTERVAL_ENDS]
    create_table_artifact(
        [{str(k): show(v) for k, v in row.items()} for row in table[shown].to_dict("records")], "sweep"
    )
    failures = int(table["error"].notna().sum()) if "error" in table else 0
    message = f"{len(table) - failures} of {len(table)} combinations done: {place}"
    return Failed(message=message) if failures else Completed(message=message)
