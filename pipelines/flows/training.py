"""Flow `training`: stages -> MLflow run -> registered version -> gate -> champion or report, in the current folder."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

from mlflow import MlflowClient
from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from prefect.states import Completed, Failed

from pipelines.catalogue import Entry, find_categories
from pipelines.flows.report import (
    report_comparison,
    report_decision,
    report_metrics,
    report_outcomes,
    report_pictures,
    report_run,
    run_name,
    tell,
)
from pipelines.flows.retries import ERRORS, one_line, run_with_retries
from pipelines.flows.settings import OrchestrationConfig, read_orchestration
from pipelines.flows.stage_tasks import run_stages
from pipelines.launch.states import REFUSED
from pipelines.processes import stop_all
from pipelines.promotion import registry
from pipelines.promotion.decision import Decision
from pipelines.promotion.promote import promote
from pipelines.promotion.settings import PromotionConfig, read_rules
from pipelines.repository.dvc import changed_stages
from pipelines.repository.dvc_index import stage_graph
from pipelines.tracking.store import connect
from pipelines.tracking.track import track
from stages.download.watch.settings import check_settings

LAST = ("evaluate", "benchmark")
"""The stages that no other stage needs."""


class Trained(NamedTuple):
    """What `run_training` hands to `judge_training`."""

    client: MlflowClient
    rules: PromotionConfig
    runs: dict[str, str]
    """Ids of the MLflow runs that followed a training, by key of the category."""


class TrainingOutcome(NamedTuple):
    """The registered versions and the gate's decision."""

    versions: dict[str, str]
    """Version number by name of the registered model."""
    decision: Decision | None
    """None if every model is identical to its champion."""

    def summary(self) -> str:
        """Return the outcome in one line."""
        names = ", ".join(f"{name} version {version}" for name, version in self.versions.items())
        if self.decision is None:
            return f"nothing new: {names} as before"
        return f"{names}: {'promoted' if self.decision.promote else f'refused: {self.decision.reasons[0]}'}"


@flow(name="training", flow_run_name=run_name)
def training(dataset: str, category: str | None = None) -> State[Any]:
    """Bring a data set, or one category of it, up to date in the current folder, and judge the result.

    Args:
        dataset: Name of a data set in params.yaml.
        category: One of its categories; None for all of them.
    """
    try:
        entries, config = find_categories(dataset, category), read_orchestration()
        result = judge_training(entries, config, run_training(entries, config))
    except ERRORS as error:
        return failed(error)
    except BaseException:
        # Otherwise the task runner would wait for the processes of its threads.
        stop_all()
        raise
    return final_state(result)


def run_training(entries: Sequence[Entry], config: OrchestrationConfig, force: frozenset[str] = frozenset()) -> Trained:
    """Check the settings and the store, then run the stages.

    Args:
        entries: The categories to train.
        config: Section `orchestration`.
        force: DVC stages that run even if nothing changed.

    Raises:
        ValueError: If the settings are wrong, the store does not answer, or a stage fails.
    """
    rules, targets = read_rules(), [f"{stage}@{entry.key}" for entry in entries for stage in LAST]
    # DVC takes seconds to check its stages: done once for all of them, while the settings are checked.
    with ThreadPoolExecutor(1) as aside:
        looking = aside.submit(changed_stages, *targets, looks=True)
        run_with_retries(check_settings, "check settings", ())
        needs = stage_graph(Path.cwd(), targets)
        client = run_with_retries(connect, "connect to MLflow", config.retry_wait_s)
        changed = looking.result()
    done = run_stages(needs, changed, entries, client, config, force)
    report_outcomes(done.outcomes)
    return Trained(client, rules, done.runs)


def judge_training(entries: Sequence[Entry], config: OrchestrationConfig, trained: Trained) -> TrainingOutcome:
    """Track and register what the stages left, judge it, and promote or report.

    Args:
        entries: The categories, promoted all together or not at all.
        config: Section `orchestration`.
        trained: Result of `run_training` for the same categories.

    Raises:
        ValueError: If the store fails or the gate cannot judge.
    """
    client = trained.client
    versions = {
        entry.model_name: run_with_retries(
            register_and_report, f"register {entry.model_name}", (), client, entry, trained.runs.get(entry.key)
        )
        for entry in entries
    }
    report_metrics(entries)
    verdict = run_with_retries(promote, "judge", (), client, entries, trained.rules, None)
    report_decision(verdict.decision)
    for entry, candidate, champion in verdict.contests:
        if champion is not None:
            report_comparison(entry, client, _run_of(client, entry, candidate), champion, candidate)
    result = TrainingOutcome(versions, verdict.decision)
    if result.decision is not None:
        verb = "promoted" if result.decision.promote else "refused"
        tell(config.notify, f"{verb}: {', '.join(versions)}", result.decision.to_table())
    return result


def final_state(result: TrainingOutcome) -> State[Any]:
    """Name the final state of a flow after the decision; a refusal is not a failure of the flow."""
    refused = result.decision is not None and not result.decision.promote
    return Completed(name=REFUSED if refused else "Completed", message=result.summary())


def failed(error: Exception) -> State[Any]:
    """Log an error in one line and return the failed state. Not raised: a traceback would add nothing."""
    line = one_line(error)
    get_run_logger().error(line)
    return Failed(message=line)


def register_and_report(client: MlflowClient, entry: Entry, run_id: str | None) -> str:
    """Log what the stages left, register it as a version, show its run and pictures, and return the version."""
    track(client, entry, run_id)
    version, is_new = registry.register(client, entry)
    get_run_logger().info("%s: version %s%s", entry.model_name, version, "" if is_new else ", as before")
    report_run(entry, client, _run_of(client, entry, version), version)
    report_pictures(entry)
    return version


def _run_of(client: MlflowClient, entry: Entry, version: str) -> str:
    return registry.run_of(registry.get_version(client, entry.model_name, version))
