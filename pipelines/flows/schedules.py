"""What `make serve` offers: one deployment per flow and data set, `retraining` with the schedules of params.yaml.

`python -m pipelines.flows.schedules` runs what is due, in this checkout, until it is stopped.
"""

import sys
from collections.abc import Iterator, Sequence
from typing import Any, cast

from prefect import serve
from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy
from prefect.client.schemas.schedules import CronSchedule
from prefect.deployments.runner import RunnerDeployment
from prefect.events import DeploymentEventTrigger
from prefect.flows import Flow
from prefect.types.entrypoint import EntrypointType
from pydantic import ValidationError

from pipelines.catalogue import find_categories
from pipelines.flows.retraining import retraining
from pipelines.flows.scoring import DRIFT_EVENT, resource_of, scoring
from pipelines.flows.settings import CronConfig, OrchestrationConfig, read_orchestration
from pipelines.flows.sweep import sweep
from pipelines.flows.training import training
from pipelines.launch.check_server import check_server

ONE = ConcurrencyLimitConfig(limit=1, collision_strategy=ConcurrencyLimitStrategy.CANCEL_NEW)
"""A run that would overlap another of the same deployment is cancelled, and its state says so."""


def deployments(config: OrchestrationConfig) -> Iterator[RunnerDeployment]:
    """Yield the deployments, each named `FLOW/DATASET`.

    Raises:
        ValueError: If a schedule names a data set without categories, or is not a cron expression.
    """
    datasets = sorted({entry.paths.dataset for entry in find_categories(None, None)})
    for name in config.schedules:
        if name not in datasets:
            raise ValueError(
                f"params.yaml: orchestration.schedules.{name}: no category is of that data set; "
                f"`categories` has {', '.join(datasets)}"
            )
    for dataset in datasets:
        schedule = config.schedules.get(dataset)
        yield _deployment(retraining, dataset, [_schedule(dataset, schedule)] if schedule else [], _on_drift(dataset))
        for flow in (training, scoring, sweep):
            yield _deployment(flow, dataset)


def _deployment(
    flow: "Flow[..., Any]",
    dataset: str,
    schedules: Sequence[CronSchedule] = (),
    triggers: Sequence[DeploymentEventTrigger] = (),
) -> RunnerDeployment:
    made = flow.to_deployment(
        dataset,
        schedules=list(schedules),
        parameters={"dataset": dataset},
        concurrency_limit=ONE,
        triggers=list(triggers),
        entrypoint_type=EntrypointType.MODULE_PATH,
    )
    # Inside a running event loop this would be a coroutine; none runs here.
    return cast("RunnerDeployment", made)


def _schedule(dataset: str, schedule: CronConfig) -> CronSchedule:
    try:
        return CronSchedule(cron=schedule.cron, timezone=schedule.timezone)
    except ValidationError as error:
        fault = error.errors()[0]
        key = ".".join(["orchestration.schedules", dataset, *map(str, fault["loc"])])
        raise ValueError(f"params.yaml: {key}: {fault['msg']}, got {fault['input']!r}") from None


def _on_drift(dataset: str) -> list[DeploymentEventTrigger]:
    match = {"prefect.resource.id": resource_of(dataset, "*")}
    return [DeploymentEventTrigger(name=f"retrain {dataset} on drift", expect={DRIFT_EVENT}, match=match)]


def main() -> None:
    """Serve until stopped."""
    try:
        check_server()
        served = list(deployments(read_orchestration()))
    except ValueError as error:
        sys.exit(f"error: {error}")
    names = " ".join(f"{deployment.flow_name}/{deployment.name}" for deployment in served)
    sys.stdout.write(f"served: {names}\n")
    # Not paused at the end, so that schedules go on by themselves after a restart.
    serve(*served, pause_on_shutdown=False, print_starting_message=False)


if __name__ == "__main__":
    main()
