"""Flow `training`: stages -> run -> version -> gate -> champion or report, in the current folder."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy.exc
from filelock import Timeout
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from prefect import flow, task
from prefect.client.schemas.objects import State
from prefect.context import TaskRunContext
from prefect.logging import get_run_logger
from prefect.states import Completed

from pipelines import registry
from pipelines.catalogue import Entry, find
from pipelines.children import stop_all
from pipelines.decision import Decision
from pipelines.digests import file_digest, folder_digest, text_digest
from pipelines.dvc_index import stage_graph
from pipelines.flow_report import (
    report_decision,
    report_metrics,
    report_outcomes,
    report_pictures,
    report_run,
    tell,
)
from pipelines.orchestration import OrchestrationConfig, read_orchestration
from pipelines.patience import lasting
from pipelines.promotion import Verdict, promote
from pipelines.rules import PromotionConfig, read_rules
from pipelines.stage_tasks import run_stages
from pipelines.store import connect
from pipelines.tracking import track
from stages.params import PARAMS

ERRORS = (ValueError, OSError, MlflowException, sqlalchemy.exc.SQLAlchemyError, Timeout, subprocess.SubprocessError)
"""What a user or a server can cause. Anything else is a fault of ours and keeps its traceback."""
LAST = ("evaluate", "benchmark")
"""The stages that nothing else needs."""
REFUSED, UNCHANGED = "Refused", "Unchanged"
"""Names of completed states."""


class Result(NamedTuple):
    """What came of a training."""

    versions: dict[str, str]
    """Of the registered model of each category."""
    decision: Decision | None
    """None if every model is its champion's."""

    def summary(self) -> str:
        """One line."""
        names = ", ".join(f"{name} version {version}" for name, version in self.versions.items())
        if self.decision is None:
            return f"nothing new: {names} as before"
        return f"{names}: {'promoted' if self.decision.promote else f'refused: {self.decision.reasons[0]}'}"


@flow(name="training", flow_run_name="training {dataset} {category}")
def training(dataset: str, category: str | None = None) -> State[Any]:
    """Bring a data set, or one category of it, up to date in the current folder, and judge what came of it.

    Args:
        dataset: Of params.yaml.
        category: One of its categories; all of them without it.
    """
    try:
        result = train_and_judge(find(dataset, category), read_orchestration())
    except ERRORS as error:
        return failed(error)
    except BaseException:
        # The task runner would wait for the processes of its threads.
        stop_all()
        raise
    return final_state(result)


def train_and_judge(
    entries: Sequence[Entry], config: OrchestrationConfig, force: frozenset[str] = frozenset()
) -> Result:
    """Run stages, track, register, judge, and promote or report.

    Args:
        entries: Promoted together or not at all.
        config: Section `orchestration`.
        force: DVC stages that run though nothing changed.

    Raises:
        ValueError: If settings, a stage, the store or the gate fail.
    """
    rules = read_rules()
    check_settings()
    needs = stage_graph_of(entries)
    client = connect()
    done = run_stages(needs, entries, client, config, force)
    report_outcomes(done.outcomes)
    versions = {entry.model_name: register(client, entry, done.runs.get(entry.key)) for entry in entries}
    report_metrics(entries)
    verdict = judge(client, entries, rules)
    report_decision(verdict.decision)
    result = Result(versions, verdict.decision)
    if result.decision is not None:
        verb = "promoted" if result.decision.promote else "refused"
        tell(config.notify, f"{verb}: {', '.join(versions)}", result.decision.to_table())
    return result


def final_state(result: Result) -> State[Any]:
    """Name the end of a flow after the decision; a refusal is no failure of the flow."""
    refused = result.decision is not None and not result.decision.promote
    return Completed(name=REFUSED if refused else "Completed", message=result.summary())


def failed(error: Exception) -> State[Any]:
    """Say in one line what went wrong. Returned, not raised: a traceback would say nothing more."""
    state = lasting(error)
    get_run_logger().error(state.message)
    return state


def stage_graph_of(entries: Sequence[Entry]) -> dict[str, frozenset[str]]:
    """Return what each stage of some categories needs."""
    return stage_graph(Path.cwd(), [f"{stage}@{entry.key}" for entry in entries for stage in LAST])


def _settings(context: TaskRunContext, parameters: dict[str, Any]) -> str:
    """What a check of the settings depends on: the file, and the code that knows what may stand in it."""
    del context, parameters
    code = [folder_digest(Path(room)) for room in ("diffusionad", "stages")]
    return text_digest(" ".join([file_digest(PARAMS), *code]))


@task(name="check settings", cache_key_fn=_settings, persist_result=True)
def check_settings() -> bool:
    """Read every section of params.yaml, before hours of training end at a typo in `evaluation`."""
    command = [sys.executable, "-m", "stages.check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr.strip().removeprefix("error: "))
    return True


@task(name="register", task_run_name="register {entry.key}", persist_result=False)
def register(client: MlflowClient, entry: Entry, run_id: str | None) -> str:
    """Log what the stages left and make it a version; show its run and pictures."""
    track(client, entry, run_id)
    version, is_new = registry.register(client, entry)
    get_run_logger().info("%s: version %s%s", entry.model_name, version, "" if is_new else ", as before")
    run = client.get_run(registry.get_version(client, entry.model_name, version).run_id)
    report_run(entry, client.tracking_uri, run.info.experiment_id, run.info.run_id, version)
    report_pictures(entry)
    return version


@task(name="judge", persist_result=False)
def judge(client: MlflowClient, entries: Sequence[Entry], rules: PromotionConfig) -> Verdict:
    """Ask the gate about the newest versions, and obey it."""
    return promote(client, entries, rules, None)
