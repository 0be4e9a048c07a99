"""DVC's graph as Prefect tasks: one task per stage, started when the stages that it needs are done."""

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mlflow import MlflowClient
from prefect.futures import PrefectFuture, as_completed
from prefect.logging import get_run_logger

from pipelines.catalogue import Entry
from pipelines.flows.retries import with_retries
from pipelines.flows.settings import OrchestrationConfig
from pipelines.repository.dvc import StageOutcome, reproduce_stage
from pipelines.tracking.live import follow

FUTURE = PrefectFuture[Any]


class Done(NamedTuple):
    """The outcome of all stages."""

    outcomes: dict[str, StageOutcome]
    """What DVC did with each stage, in the order in which they ended."""
    runs: dict[str, str]
    """Ids of the MLflow runs that followed a training, by key of the category."""


class StagesError(ValueError):
    """Stages failed; the message names each with its reason."""


def run_stages(
    needs: Mapping[str, frozenset[str]],
    changed: Collection[str] | None,
    entries: Iterable[Entry],
    client: MlflowClient,
    config: OrchestrationConfig,
    force: frozenset[str] = frozenset(),
) -> Done:
    """Bring the stages of the current folder up to date.

    If a stage fails, the stages that need it do not run; all others do.

    Args:
        needs: The stages that each stage needs (`dvc_index.stage_graph`).
        changed: Stages that DVC has to run or restore (`dvc.changed_stages`); stages that need them follow. None: all.
        entries: Categories whose training is followed.
        client: Client of the store that their losses go to.
        config: Section `orchestration`.
        force: Stages that run even if DVC sees no change.

    Raises:
        StagesError: If stages failed.
    """
    stale = force | (needs.keys() if changed is None else set(changed))
    run = with_retries(_run_stage, "stage", "{stage}", config.retry_wait_s)
    by_key = {entry.key: entry for entry in entries}
    done, failures = Done({}, {}), dict[str, str]()
    futures: dict[str, FUTURE] = {}
    running: dict[FUTURE, str] = {}
    while True:
        for stage, need in needs.items():
            if len(running) < config.stages_at_once and stage not in futures and need <= done.outcomes.keys():
                before = [futures[name] for name in sorted(need)]
                is_stale = stage in stale or any(done.outcomes[name] != "unchanged" for name in need)
                followed = _followed(stage, by_key)
                future: FUTURE = run.submit(
                    *(stage, Path.cwd(), followed, client, config),
                    is_stale=is_stale,
                    force=stage in force,
                    wait_for=before,
                )
                futures[stage], running[future] = future, stage
        if not running:
            break
        future = next(as_completed(list(running)))
        # The future knows that it has ended a little before the server does.
        future.wait()
        stage = running.pop(future)
        if future.state.is_completed():
            outcome, run_id = future.result()
            done.outcomes[stage] = outcome
            if run_id:
                done.runs[stage.partition("@")[2]] = run_id
        else:
            failures[stage] = future.state.message or str(future.state.name)
    if failures:
        left = [stage for stage in needs if stage not in futures]
        after = f"; not run after that: {', '.join(left)}" if left else ""
        raise StagesError("; ".join(f"{stage}: {reason}" for stage, reason in failures.items()) + after)
    return done


def _followed(stage: str, by_key: Mapping[str, Entry]) -> Entry | None:
    name, _, key = stage.partition("@")
    return by_key.get(key) if name == "train" else None


def _run_stage(
    stage: str,
    folder: Path,
    entry: Entry | None,
    client: MlflowClient,
    config: OrchestrationConfig,
    *,
    is_stale: bool,
    force: bool,
) -> tuple[StageOutcome, str | None]:
    """Return what DVC did, and the id of the run that followed the training, if there was one."""
    if not is_stale:
        return "unchanged", None
    say, timeout_s = get_run_logger().info, config.stage_timeout_s
    if entry is None:
        return reproduce_stage(stage, folder, say, timeout_s, force=force), None
    with follow(client, entry, config.live_poll_s) as follower:
        outcome = reproduce_stage(stage, folder, say, timeout_s, force=force)
    return outcome, follower.run_id if follower.has_seen_training else None
