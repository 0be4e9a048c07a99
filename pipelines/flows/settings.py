"""Section `orchestration` of params.yaml: when flows run, how long they may take, whom they notify."""

from pathlib import Path

from pydantic import Field

from diffusionad.section import Section
from stages.params import PARAMS, read_section


class CronConfig(Section):
    """One entry of `schedules`: when a data set is retrained."""

    cron: str = Field(min_length=1, description="five fields: minute, hour, day, month, weekday")
    timezone: str = Field(min_length=1, description="name in the IANA time zone database, such as Europe/Berlin")


class SweepConfig(Section):
    """Part `sweep`."""

    workers: int = Field(ge=1, description="combinations that run at the same time on this machine")
    dask: str | None = Field(description="address of a Dask scheduler, tcp://host:8786; null for this machine")


class DriftConfig(Section):
    """Part `drift`: when scores count as drifted. The bounds on images, distance and p-value must all hold."""

    window: int = Field(ge=1, description="number of latest images that are compared")
    min_images: int = Field(ge=2, description="least number of images for a comparison")
    distance: float = Field(gt=0, le=1, description="least Kolmogorov-Smirnov distance of the two distributions")
    p_value: float = Field(gt=0, lt=1, description="largest probability of such a distance without drift")


class OrchestrationConfig(Section):
    """Section `orchestration`."""

    schedules: dict[str, CronConfig] = Field(description="schedule of flow `retraining`, by data set")
    stages_at_once: int = Field(ge=1, description="DVC stages of one flow that run side by side")
    stage_timeout_s: float = Field(gt=0, description="time limit of a stage, s; it is then stopped")
    retry_wait_s: list[float] = Field(
        min_length=1, description="pause before each further attempt after a transient error, s"
    )
    live_poll_s: float = Field(gt=0, description="pause between two looks at the history of a training, s")
    notify: str | None = Field(
        pattern=r"^[a-z0-9-]+/[a-z0-9-]+$", description="notification block of Prefect as type/name; null for none"
    )
    push: bool = Field(description="whether a retraining runs `dvc push` before the gate judges, if there is a remote")
    scoring_batch: int = Field(ge=1, description="images that are scored and written together")
    sweep: SweepConfig
    drift: DriftConfig


def read_orchestration(path: Path = PARAMS) -> OrchestrationConfig:
    """Read section `orchestration`.

    Raises:
        ValueError: Same as `read_section`.
    """
    return read_section(OrchestrationConfig, "orchestration", path)
