"""Flow `scoring`: score the images of a folder or prefix with the champion, each once, and look for drift."""

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import mlflow.artifacts
import numpy as np
import pandas as pd
from filelock import FileLock, Timeout
from mlflow import MlflowClient
from numpy.typing import NDArray
from prefect import flow
from prefect.artifacts import create_table_artifact
from prefect.client.schemas.objects import State
from prefect.events import emit_event
from prefect.logging import get_run_logger
from prefect.states import Completed

from pipelines.catalogue import Entry, find_categories
from pipelines.errors import TransientError
from pipelines.flows.drift import Drift, measure_drift
from pipelines.flows.report import run_name, tell
from pipelines.flows.retries import ERRORS, run_with_retries
from pipelines.flows.score_worker import read_scores
from pipelines.flows.settings import OrchestrationConfig, read_orchestration
from pipelines.flows.training import failed
from pipelines.launch.states import DRIFTED
from pipelines.processes import stop_all, stream
from pipelines.promotion import registry
from pipelines.promotion.decision import show
from pipelines.serving.photographs import DRIFT, VERSION
from pipelines.tracking.store import connect
from stages.common.schemas import read_test_scores
from stages.download.fetch import FetchConfig
from stages.files import write_json
from stages.params import read_section

OUT = Path(".local", "scores")
DRIFT_EVENT = "diffusionad.drifted"
"""The event that starts a retraining, by an automation."""


@flow(name="scoring", flow_run_name=run_name)
def scoring(dataset: str, category: str, source: str, out: str | None = None) -> State[Any]:
    """Score the images that the champion of a category has not scored yet.

    Args:
        dataset: Name of a data set in params.yaml.
        category: One of its categories.
        source: Folder or s3://BUCKET/PREFIX.
        out: Folder for the results, which go below `version=N`; None for `.local/scores/MODEL`.
    """
    try:
        (entry,) = find_categories(dataset, category)
        return _score(entry, source, Path(out) if out else OUT / entry.model_name)
    except ERRORS as error:
        return failed(error)
    except BaseException:
        stop_all()
        raise


def resource_of(dataset: str, category: str) -> str:
    """Name a model in events."""
    return f"diffusionad.model.{dataset}.{category}"


def _score(entry: Entry, source: str, out: Path) -> State[Any]:
    config = read_orchestration()
    client = run_with_retries(connect, "connect to MLflow", config.retry_wait_s)
    version = None
    if _is_known(client, entry):
        registry.check_owner(client, entry)
        version = registry.champion(client, entry.model_name)
    if version is None:
        raise ValueError(f"{entry.model_name}: no champion yet; run `diffusionad promote` first")
    folder = out / f"{VERSION}{version}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(out / ".lock", timeout=0), tempfile.TemporaryDirectory() as place:
            model = registry.fetch_artifact(client, entry.model_name, version, Path(place, "model"))
            _run_batch(model, source, folder, config, Path(place))
    except Timeout:
        raise ValueError(f"{out}: another scoring writes there; nothing was done") from None
    table = read_scores(folder)
    drift = measure_drift(config.drift, _numbers(table["score"]), _reference(client, entry, version))
    _record(entry, version, table, drift, folder, config)
    message = f"{len(table)} images scored by version {version}, {int(table['error'].notna().sum())} of them no images"
    return Completed(name=DRIFTED if drift.drifted else "Completed", message=message)


def _is_known(client: MlflowClient, entry: Entry) -> bool:
    return bool(client.search_registered_models(f"name='{entry.model_name}'"))


def _run_batch(model: Path, source: str, out: Path, config: OrchestrationConfig, place: Path) -> None:
    request = place / "request.json"
    write_json(
        request,
        {
            "model": str(model),
            "source": source,
            "out": str(out),
            "batch": config.scoring_batch,
            "timeout_s": read_section(FetchConfig, "download.fetch").timeout_s,
        },
    )
    run_with_retries(_batch, "score", config.retry_wait_s, request, config.stage_timeout_s)


def _batch(request: Path, timeout_s: float) -> None:
    command = [sys.executable, "-m", "pipelines.flows.score_worker", str(request)]
    ended = stream(command, Path.cwd(), get_run_logger().info, timeout_s)
    if ended.timed_out:
        raise ValueError(f"the scoring took longer than {timeout_s:g} s and was stopped; run it again to go on")
    if ended.status:
        reason = (ended.lines or ("no reason given",))[-1].removeprefix("error: ")
        raise (TransientError if ended.status == os.EX_TEMPFAIL else ValueError)(reason)


def _reference(client: MlflowClient, entry: Entry, version: str) -> NDArray[np.float64]:
    """Return the scores of the normal test images, from the run that the version comes from."""
    run_id = registry.run_of(registry.get_version(client, entry.model_name, version))
    artifact = f"evaluation/{entry.paths.scores.name}"
    with tempfile.TemporaryDirectory() as place:
        file = mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=artifact, dst_path=place)
        table = read_test_scores(Path(file))
    return _numbers(table.loc[table["label"] == 0, "score"])


def _numbers(column: "pd.Series[float]") -> NDArray[np.float64]:
    return np.asarray(column.dropna(), dtype=np.float64)


def _record(
    entry: Entry, version: str, table: pd.DataFrame, drift: Drift, folder: Path, config: OrchestrationConfig
) -> None:
    scored = table[table["error"].isna()]
    content = {
        "version": version,
        "images": len(scored),
        "anomalous": int(scored["label"].sum()),
        "errors": int(table["error"].notna().sum()),
        "drift": drift._asdict(),
    }
    write_json(folder / DRIFT, content)  # readers of Parquet data sets skip names with an underscore
    told = {name: value for name, value in content.items() if name != "drift"}
    told |= {f"drift.{name}": value for name, value in drift._asdict().items()}
    create_table_artifact([{"of": name, "value": show(value)} for name, value in told.items()], "scores")
    if drift.drifted:
        text = f"distance {drift.distance:.2f} over the last {drift.images} images, version {version}"
        get_run_logger().warning("scores of %s drifted: %s", entry.model_name, text)
        resource = resource_of(entry.paths.dataset, entry.paths.category)
        emit_event(DRIFT_EVENT, {"prefect.resource.id": resource}, payload=content)
        tell(config.notify, f"scores of {entry.model_name} drifted", text)
