"""Section `orchestration` of params.yaml: when flows run, how long they may take, whom they tell."""

from pathlib import Path

from pydantic import Field

from diffusionad.section import Section
from stages.params import PARAMS, read_section


class CronConfig(Section):
    """One entry of `schedules`: when a data set is looked at."""

    cron: str = Field(min_length=1, description="five fields: minute, hour, day, month, weekday")
    timezone: str = Field(min_length=1, description="of the IANA list, as Europe/Berlin")


class SweepConfig(Section):
    """Part `sweep`."""

    workers: int = Field(ge=1, description="combinations that are worked on at a time, on this machine")
    dask: str | None = Field(description="address of a Dask scheduler, tcp://host:8786; null for this machine")


class DriftConfig(Section):
    """Part `drift`: when scores are said to have drifted. All three must hold."""

    window: int = Field(ge=1, description="the last so many images are compared")
    min_images: int = Field(ge=2, description="fewer say nothing")
    distance: float = Field(gt=0, le=1, description="Kolmogorov-Smirnov distance of the two distributions, at least")
    p_value: float = Field(gt=0, lt=1, description="chance of such a distance without drift, at most")


class OrchestrationConfig(Section):
    """Section `orchestration`."""

    schedules: dict[str, CronConfig] = Field(description="retraining, by data set")
    stages_at_once: int = Field(ge=1, description="DVC stages of one flow that run side by side")
    stage_timeout_s: float = Field(gt=0, description="after which a stage is stopped")
    retry_wait_s: list[float] = Field(min_length=1, description="before each further attempt at what may pass, s")
    live_poll_s: float = Field(gt=0, description="between two looks at the history of a training")
    notify: str | None = Field(
        pattern=r"^[a-z0-9-]+/[a-z0-9-]+$", description="a notification block of Prefect, type/name; null for none"
    )
    push: bool = Field(description="whether a retraining runs `dvc push` before the gate judges, if there is a remote")
    scoring_batch: int = Field(ge=1, description="images that are scored and written at a time")
    sweep: SweepConfig
    drift: DriftConfig


def read_orchestration(path: Path = PARAMS) -> OrchestrationConfig:
    """Read section `orchestration`.

    Raises:
        ValueError: As read_section.
    """
    return read_section(OrchestrationConfig, "orchestration", path)
