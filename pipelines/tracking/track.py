"""Log the files of a category as one MLflow run. The same result gives one run; nothing is kept only in MLflow."""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import mlflow
import mlflow.artifacts
import pandas as pd
from mlflow import MlflowClient
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.exceptions import MlflowException

from pipelines.catalogue import Entry
from pipelines.digests import text_digest
from pipelines.serving.packaging import artifact_digest, save_served
from pipelines.tracking import lineage
from pipelines.tracking.lineage import DVC_LOCK
from pipelines.tracking.pages import log_page
from pipelines.tracking.results import CategoryResult, read_result, read_stage_settings
from pipelines.tracking.store import experiment, lock
from stages.common.schemas import MeasuredTimes, ModelCost, read_document, read_history
from stages.params import settings_files

KEY, MODEL, ARTIFACT = "result.key", "model.digest", "artifact.digest"
"""Tags with the key of the result, the digest of the model folder and the digest of the artifact to register."""
LOCK_ARTIFACT = "lineage/dvc.lock"
BATCH = 100
"""Largest number of parameters that MLflow takes in one call."""
DIGEST_LENGTH = 36
"""Largest length of a data set's digest in MLflow."""


def track(client: MlflowClient, entry: Entry, adopt: str | None = None) -> str:
    """Log what the stages left for a category, unless it is logged already.

    Args:
        client: Client of the store.
        entry: The category.
        adopt: Id of a run that followed the training (`pipelines.tracking.live`), to be completed; None for a new run.

    Returns:
        The id of the run.

    Raises:
        ValueError: If the category has no result, or one of its files is not JSON.
    """
    result = read_result(entry)
    with lock("track"):
        for run in find_runs(client, entry, result.key):
            if run.info.status == "FINISHED":
                _renew_lineage(client, run, entry)
                return str(run.info.run_id)
            if run.info.run_id != adopt:
                # Left incomplete by a process that was killed; nothing tells which files it lacks.
                client.delete_run(run.info.run_id)
        run_id = adopt or start_run(client, entry)
        _log(client, run_id, result)
        client.set_tag(run_id, "mlflow.runName", f"{entry.paths.category}-{result.model_digest[:8]}")
        client.set_terminated(run_id, "FINISHED")
    return run_id


def start_run(client: MlflowClient, entry: Entry) -> str:
    """Open a run for a category."""
    run = client.create_run(
        experiment(client, entry.paths.dataset),
        tags={"dataset": entry.paths.dataset, "category": entry.paths.category},
        run_name=entry.paths.category,
    )
    return str(run.info.run_id)


def find_runs(client: MlflowClient, entry: Entry, key: str) -> list[Run]:
    """List the runs of a result."""
    where = [experiment(client, entry.paths.dataset)]
    return list(client.search_runs(where, f"tags.`{KEY}` = '{key}'"))


def download_artifact(run_id: str, artifact: str, place: str) -> Path | None:
    """Fetch a file of a run into a folder; return None if that fails."""
    try:
        return Path(mlflow.artifacts.download_artifacts(run_id=run_id, artifact_path=artifact, dst_path=place))
    except (MlflowException, OSError):
        return None


def log_history(client: MlflowClient, run_id: str, records: list[dict[str, float]], after: int) -> int:
    """Log the records of a history after step `after`; return the last step."""
    now = round(time.time() * 1000)
    fresh = [record for record in records if record["step"] > after]
    metrics = [
        Metric(name, float(value), now, int(record["step"]))
        for record in fresh
        for name, value in record.items()
        if name != "step"
    ]
    for first in range(0, len(metrics), 1000):
        client.log_batch(run_id, metrics=metrics[first : first + 1000])
    return int(fresh[-1]["step"]) if fresh else after


def _log(client: MlflowClient, run_id: str, result: CategoryResult) -> None:
    paths = result.entry.paths
    facts = lineage.collect(result.entry)
    # Before the key is set: a run that has it and is finished counts as complete.
    client.update_run(run_id, status="RUNNING")
    tags = {KEY: result.key, MODEL: result.model_digest, **result.reasons}
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])
    _log_lineage(client, run_id, result.entry, facts)
    settings = [Param(name, value) for name, value in read_stage_settings(result.entry).items()]
    for first in range(0, len(settings), BATCH):
        client.log_batch(run_id, params=settings[first : first + BATCH])
    history = read_history(paths.history)
    logged = [step for name in _first_names(history) for step in _logged_steps(client, run_id, name)]
    log_history(client, run_id, history, max(logged, default=-1))
    now = round(time.time() * 1000)
    figures = dict(_figures(result))
    client.log_batch(run_id, metrics=[Metric(name, value, now, 0) for name, value in figures.items()])
    _log_files(client, run_id, result)
    _log_dataset(run_id, result, facts)


def _first_names(history: Sequence[Mapping[str, float]]) -> list[str]:
    """The first figure of a history, which every record has; [] without records."""
    return [name for record in history[:1] for name in record if name != "step"][:1]


def _logged_steps(client: MlflowClient, run_id: str, name: str) -> list[int]:
    return [metric.step for metric in client.get_metric_history(run_id, name)]


def _log_lineage(client: MlflowClient, run_id: str, entry: Entry, facts: Mapping[str, str]) -> None:
    # Read once, so that tag and file agree: DVC may add another category to it meanwhile.
    locked = DVC_LOCK.read_text(encoding="utf-8") if DVC_LOCK.is_file() else ""
    if locked:
        client.log_text(run_id, locked, LOCK_ARTIFACT)
        facts = {**facts, "dvc_lock": text_digest(locked)}
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in facts.items()])
    for file in (Path("dvc.yaml"), *settings_files(entry.key)):
        if file.is_file():
            client.log_artifact(run_id, str(file), "lineage")
    client.log_text(run_id, lineage.environment(), "lineage/environment.txt")


def _renew_lineage(client: MlflowClient, run: Run, entry: Entry) -> None:
    """Log the lineage again if the result was logged before code and settings were committed."""
    if not lineage.is_clean(run.data.tags):
        facts = lineage.collect(entry)
        if lineage.is_clean(facts):
            _log_lineage(client, run.info.run_id, entry, facts)


def _figures(result: CategoryResult) -> Iterator[tuple[str, float]]:
    paths = result.entry.paths
    yield from ((name, float(value)) for name, value in result.metrics.items() if value is not None)
    if paths.benchmark.is_file():
        yield from _numbers(read_document(paths.benchmark, ModelCost).model_dump(), "benchmark")
    if paths.latency.is_file():
        yield from _numbers(read_document(paths.latency, MeasuredTimes, "make bench").model_dump(), "latency")


def _numbers(content: object, name: str) -> Iterator[tuple[str, float]]:
    if isinstance(content, Mapping):
        for key, value in content.items():
            yield from _numbers(value, f"{name}.{key}")
    elif isinstance(content, int | float):
        yield name, float(content)


def _log_files(client: MlflowClient, run_id: str, result: CategoryResult) -> None:
    # Imported here: it loads matplotlib, which takes half a second and which a result that is logged already spares.
    from pipelines.tracking.plots import draw_curves  # noqa: PLC0415

    paths = result.entry.paths
    files: dict[Path, str] = {
        paths.previews: "pictures",
        paths.foreground_sheet: "pictures",
        paths.foreground_summary: "data",
        paths.validation: "data",
        paths.validation_page: "data",
        paths.manifest: "data",
        paths.summary: "data",
        paths.metrics: "evaluation",
        paths.scores: "evaluation",
        paths.roc: "evaluation",
        paths.pr: "evaluation",
        paths.pro: "evaluation",
        paths.histogram: "evaluation",
    }
    for file, folder in files.items():
        if file.is_file():
            client.log_artifact(run_id, str(file), folder)
    if paths.pictures.is_dir():
        client.log_artifacts(run_id, str(paths.pictures), "pictures")
    if paths.page.is_file() and paths.report.is_dir():
        log_page(client, run_id, paths.page, paths.report, "report")
    for name, figure in draw_curves(paths, result.metrics.get("threshold")):
        client.log_figure(run_id, figure, f"curves/{name}.png")
    with save_served(paths) as served:
        client.log_artifacts(run_id, str(served), "model")
        client.set_tag(run_id, ARTIFACT, artifact_digest(served))


def _log_dataset(run_id: str, result: CategoryResult, facts: Mapping[str, str]) -> None:
    paths = result.entry.paths
    counts = pd.read_parquet(paths.manifest, columns=["split"])["split"].value_counts()
    source = CodeDatasetSource(tags={"licence": facts["licence"], "url": facts["licence_url"]})
    dataset = MetaDataset(source, name=str(paths), digest=facts["manifest"][:DIGEST_LENGTH])  # type: ignore[abstract]  # as mlflow shows it
    tags = {"manifest": facts["manifest"], **{f"{split}_images": str(count) for split, count in counts.items()}}
    with mlflow.start_run(run_id=run_id):
        mlflow.log_input(dataset, context="training", tags=tags)
