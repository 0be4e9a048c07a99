"""What a flow run shows in Prefect as artifacts: tables, the decision, links, pictures; and the messages it sends."""

import asyncio
import base64
import inspect
import io
import re
from collections.abc import Mapping, Sequence

import httpx
from mlflow import MlflowClient
from PIL import Image
from prefect.artifacts import (
    create_image_artifact,
    create_link_artifact,
    create_markdown_artifact,
    create_table_artifact,
)
from prefect.blocks.abstract import NotificationBlock, NotificationError
from prefect.blocks.core import Block
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from pipelines.catalogue import Entry
from pipelines.promotion.comparison import PAGE, place_in_run
from pipelines.promotion.decision import Decision, show
from stages.common.schemas import read_metrics

PICTURES, SIDE_PX = 3, 480
"""Pictures per category and their longer side; both are small because Prefect keeps them in its database."""


def run_name() -> str:
    """Name a run after its flow, data set and category."""
    names = [flow_run.parameters.get(name) for name in ("dataset", "category")]
    return " ".join(str(name) for name in (flow_run.flow_name, *names) if name)


def report_outcomes(outcomes: Mapping[str, str]) -> None:
    """Show what DVC did with each stage."""
    create_table_artifact([{"stage": stage, "outcome": outcome} for stage, outcome in outcomes.items()], "stages")


def report_metrics(entries: Sequence[Entry]) -> None:
    """Show the figures of all categories in one table, each with its interval."""
    rows = []
    for entry in entries:
        for name, value, low, high in read_metrics(entry.paths.metrics).figures:
            interval = "" if low is None or high is None else f"{show(low)} to {show(high)}"
            rows.append({"category": entry.model_name, "figure": name, "value": show(value), "95 %": interval})
    create_table_artifact(rows, "metrics")


def report_run(entry: Entry, client: MlflowClient, run_id: str, version: str) -> None:
    """Link the MLflow run of a category; where no server shows it, say how to start one."""
    _link_to_mlflow(client, run_id, "", f"MLflow run of version {version}", _key(entry, "run"))


def report_comparison(entry: Entry, client: MlflowClient, run_id: str, before: str, after: str) -> None:
    """Link the page that shows candidate and champion side by side."""
    page = f"/artifacts/{place_in_run(before, after)}/{PAGE}"
    _link_to_mlflow(client, run_id, page, f"Version {after} against champion {before}", _key(entry, "comparison"))


def _link_to_mlflow(client: MlflowClient, run_id: str, part: str, text: str, key: str) -> None:
    server = client.tracking_uri.rstrip("/")
    if not server.startswith("http"):
        server, text = "http://127.0.0.1:5000", f"{text}, once `make ui` runs"
    experiment = client.get_run(run_id).info.experiment_id
    create_link_artifact(f"{server}/#/experiments/{experiment}/runs/{run_id}{part}", text, key)


def report_decision(decision: Decision | None) -> None:
    """Show each rule of the gate and its verdict."""
    page = (
        decision.to_markdown()
        if decision
        else "**nothing new**: every model is identical to its champion, byte for byte\n"
    )
    create_markdown_artifact(page, "decision")


def report_pictures(entry: Entry) -> None:
    """Show some of the pictures that `evaluate` chose."""
    for index, file in enumerate(sorted(entry.paths.pictures.glob("*.png"))[:PICTURES]):
        with Image.open(file) as picture:
            small = picture.convert("RGB")
        small.thumbnail((SIDE_PX, SIDE_PX))
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=80)
        content = base64.b64encode(buffer.getvalue()).decode()
        create_image_artifact(f"data:image/jpeg;base64,{content}", _key(entry, f"picture-{index}"), file.stem)


def tell(block: str | None, subject: str, text: str) -> None:
    """Send a message through a notification block of Prefect. If that fails, the log says so and the flow goes on.

    Args:
        block: Block as TYPE/NAME, for example `slack-webhook/team`; None to send nothing.
        subject: Subject line.
        text: Body of the message.
    """
    if block is None:
        return
    log = get_run_logger()
    try:
        loaded = Block.load(block)
        if not isinstance(loaded, NotificationBlock):
            log.warning("params.yaml: orchestration.notify: %s is no notification block", block)
            return
        with loaded.raise_on_failure():
            sent: object = loaded.notify(text, subject)
            # Prefect's blocks send at once; a custom one may return a coroutine.
            if inspect.iscoroutine(sent):
                asyncio.run(sent)
    except (ValueError, OSError, httpx.HTTPError, NotificationError) as error:
        log.warning("params.yaml: orchestration.notify: %s could not be told: %s", block, error)


def _key(entry: Entry, name: str) -> str:
    # Prefect allows lower-case letters, digits and dashes.
    return re.sub(r"[^a-z0-9-]+", "-", f"{entry.model_name}-{name}".lower())
