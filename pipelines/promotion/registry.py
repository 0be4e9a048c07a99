"""Registered models, one per category: register, promote, roll back. Only this module starts a move of an alias."""

import getpass
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import mlflow.artifacts
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from pipelines.catalogue import Entry
from pipelines.promotion.decision import Decision
from pipelines.promotion.gates import LINEAGE
from pipelines.promotion.journal import CHAMPION, PREVIOUS, VERDICT, Event, Kind, aliases, read_events, recover, write
from pipelines.serving.packaging import artifact_digest
from pipelines.tracking.lineage import LICENCE, is_clean
from pipelines.tracking.store import lock
from pipelines.tracking.track import ARTIFACT, KEY, MODEL, track

AGAINST, DECISION = "gate.champion", "gate.decision"


class NotGatedError(ValueError):
    """The version has no passing decision."""


class StaleChampionError(ValueError):
    """The champion has changed since the decision."""


def register(client: MlflowClient, entry: Entry) -> tuple[str, bool]:
    """Log what the stages left and register it as a version, unless it is registered already.

    A result that was registered with uncommitted or stale changes is registered again once commit, dvc.lock and
    result belong together.

    Returns:
        The number of the version, and whether it is new.

    Raises:
        ValueError: If there is no result, or the artifact that the registry returns is not the one that was logged.
    """
    run = client.get_run(track(client, entry))
    tags = {name: run.data.tags.get(name, "") for name in (*LINEAGE, *LICENCE, KEY, MODEL, ARTIFACT)}
    tags |= {"dataset": entry.paths.dataset, "category": entry.paths.category, "key": entry.key}
    with lock(entry.model_name):
        _make_model(client, entry)
        for version in versions(client, entry.model_name):
            if version.tags.get(KEY) == tags[KEY] and (is_clean(version.tags) or not is_clean(tags)):
                return str(version.version), False
        for name in LICENCE:
            client.set_registered_model_tag(entry.model_name, name, tags[name])
        source = f"{run.info.artifact_uri}/model"
        made = client.create_model_version(entry.model_name, source, run_id=run.info.run_id, tags=tags)
    # MLflow gives the number of a new version as an int, that of a known one as text.
    number = str(made.version)
    verify(client, entry.model_name, number)
    return number, True


def versions(client: MlflowClient, name: str) -> list[ModelVersion]:
    """List the versions of a model, newest first."""
    return sorted(client.search_model_versions(f"name='{name}'"), key=lambda v: int(v.version), reverse=True)


def newest(client: MlflowClient, name: str) -> str:
    """Return the number of the newest version.

    Raises:
        ValueError: If there is none.
    """
    known = versions(client, name)
    if not known:
        raise ValueError(f"{name}: no version is registered; run `diffusionad register` first")
    return str(known[0].version)


def get_version(client: MlflowClient, name: str, version: str) -> ModelVersion:
    """Find a version by its number or an alias.

    Raises:
        ValueError: If there is none; the message names those that exist.
    """
    try:
        if version.isdecimal():
            return client.get_model_version(name, version)
        return client.get_model_version_by_alias(name, version)
    except MlflowException as error:
        # A missing alias is INVALID_PARAMETER_VALUE, a missing version RESOURCE_DOES_NOT_EXIST.
        if error.error_code not in ("INVALID_PARAMETER_VALUE", "RESOURCE_DOES_NOT_EXIST"):
            raise
        known = ", ".join(str(v.version) for v in reversed(versions(client, name))) or "none"
        raise ValueError(f"{name}: no version or alias `{version}`; versions: {known}") from None


def run_of(version: ModelVersion) -> str:
    """Return the id of the run that a version comes from."""
    return str(version.run_id)


def champion(client: MlflowClient, name: str) -> str | None:
    """Return the number of the champion; None if there is none."""
    return aliases(client, name).get(CHAMPION)


def fetch_artifact(client: MlflowClient, name: str, version: str, folder: Path) -> Path:
    """Download the artifact of a version.

    Raises:
        ValueError: If it is missing, or differs from what was registered.
    """
    stated = get_version(client, name, version).tags.get(ARTIFACT, "")
    try:
        place = Path(
            mlflow.artifacts.download_artifacts(artifact_uri=f"models:/{name}/{version}", dst_path=str(folder))
        )
        found = artifact_digest(place)
    except (MlflowException, OSError, ValueError) as error:
        line = " ".join(str(error).split())
        raise ValueError(f"{name} version {version}: its artifact cannot be fetched: {line}") from None
    if found != stated:
        raise ValueError(
            f"{name} version {version}: the artifact was altered after it was registered "
            f"(SHA-256 {found[:12]}, registered {stated[:12] or 'none'}); register it again"
        )
    return place


def verify(client: MlflowClient, name: str, version: str) -> None:
    """Download the artifact of a version and check that it is what was registered.

    Raises:
        ValueError: Same as `fetch_artifact`.
    """
    with tempfile.TemporaryDirectory() as folder:
        fetch_artifact(client, name, version, Path(folder))


def record_decision(client: MlflowClient, name: str, version: str, against: str | None, decision: Decision) -> None:
    """Write a decision to the tags of a version and, as a page and as JSON, to its run."""
    run_id = run_of(get_version(client, name, version))
    at = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    client.log_text(run_id, decision.to_markdown(), f"gate/version-{version}-{at}.md")
    client.log_text(run_id, decision.to_json(), f"gate/version-{version}-{at}.json")
    client.set_model_version_tag(name, version, AGAINST, against or "")
    client.set_model_version_tag(name, version, DECISION, decision.to_json())
    # Last, because a version whose decision is only half written must not count as passed.
    client.set_model_version_tag(name, version, VERDICT, "pass" if decision.promote else "refused")


def make_champion(
    client: MlflowClient, name: str, version: str, why: str, *, override: bool = False, fetched: bool = False
) -> Event | None:
    """Make a version champion, and the champion until now `previous`.

    Args:
        client: Client of the store.
        name: Name of the registered model.
        version: Number of the version.
        why: Reason for the history; must not be empty with `override`.
        override: Whether to promote without a passing decision.
        fetched: Whether the artifact has just been fetched and verified; it is not fetched again then.

    Returns:
        The entry written to the history; None if the version is champion already.

    Raises:
        NotGatedError: If it has no passing decision.
        StaleChampionError: If the decision was made against another champion than the current one.
        ValueError: If the artifact is missing or altered, or an override has no reason.
    """
    if override and not why.strip():
        raise ValueError("an override needs a reason; say it with --why")
    if not fetched:
        verify(client, name, version)
    with lock(name):
        recover(client, name)
        before = champion(client, name)
        if before == version:
            return None
        tags = get_version(client, name, version).tags
        if not override:
            _check_gate(name, version, tags, before)
        event = _event(client, name, "override" if override else "promotion", version, before, before, why)
        write(client, name, event)
    return event


def rollback(client: MlflowClient, name: str, to: str | None, why: str, *, force: bool = False) -> Event:
    """Make an earlier champion champion again.

    Args:
        client: Client of the store.
        name: Name of the registered model.
        to: Number or alias of the version; None for alias `previous`.
        why: Reason for the history.
        force: Whether to accept a version that was never champion; needs a reason.

    Raises:
        ValueError: If there is nothing to go back to, the version was never champion, it is champion already, or its
            artifact is missing or altered.
    """
    if force and not why.strip():
        raise ValueError("a forced rollback needs a reason; say it with --why")
    with lock(name):
        recover(client, name)
        now = aliases(client, name)
        target = to or now.get(PREVIOUS)
        if target is None:
            raise ValueError(f"{name}: nothing to roll back to: no version was champion before this one")
        target = str(get_version(client, name, target).version)
        events = read_events(client, name)
        if target == now.get(CHAMPION):
            raise ValueError(f"{name}: version {target} is champion already")
        if not force and target not in {event.version for event in events}:
            raise ValueError(f"{name}: version {target} was never champion; promote it, or use --force with --why")
        verify(client, name, target)
        # The champion before the target was promoted, so that a second rollback goes further back.
        further = [event.before for event in events if event.version == target and event.kind != "rollback"]
        previous = further[-1] if further else now.get(CHAMPION)
        event = _event(client, name, "rollback", target, now.get(CHAMPION), previous, why)
        write(client, name, event)
    return event


def _check_gate(name: str, version: str, tags: Mapping[str, str], before: str | None) -> None:
    if tags.get(VERDICT) != "pass":
        raise NotGatedError(
            f"{name} version {version}: no passing decision (verdict: {tags.get(VERDICT, 'none')}); "
            "run `diffusionad promote`, or override with a reason"
        )
    if tags.get(AGAINST, "") != (before or ""):
        raise StaleChampionError(
            f"{name} version {version}: judged against champion {tags.get(AGAINST) or 'none'}, "
            f"but it is {before or 'none'} now; promote again"
        )


def _event(
    client: MlflowClient, name: str, kind: Kind, version: str, before: str | None, previous: str | None, why: str
) -> Event:
    number = max((event.number for event in read_events(client, name)), default=0) + 1
    metrics = client.get_run(run_of(get_version(client, name, version))).data.metrics
    figures = {key: value for key, value in metrics.items() if key.startswith(("image_", "pixel_", "synthetic_pixel_"))}
    at = datetime.now(UTC).isoformat(timespec="seconds")
    return Event(number, kind, version, before, previous, getpass.getuser(), why, at, figures)


def _make_model(client: MlflowClient, entry: Entry) -> None:
    try:
        client.create_registered_model(
            entry.model_name, tags={"dataset": entry.paths.dataset, "category": entry.paths.category}
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    check_owner(client, entry)


def check_owner(client: MlflowClient, entry: Entry) -> None:
    """Refuse a registered model that was made for another category, as `a-b` + `c` beside `a` + `b-c`.

    Raises:
        ValueError: If the model of this name is that of another category.
    """
    tags = client.get_registered_model(entry.model_name).tags
    owner = f"{tags.get('dataset', entry.paths.dataset)}/{tags.get('category', entry.paths.category)}"
    if owner != str(entry.paths):
        raise ValueError(
            f"{entry.model_name}: the registered model of this name is that of {owner}, not of {entry.paths}; "
            "rename the data set or the category in params.yaml"
        )
