"""The history of champions, and how a change of champion survives a crash between any two steps.

MLflow has neither a history of aliases nor a way to move two of them at once. So each change is first written down as
an intent, a tag of the registered model. Then its steps are taken, each of which may be taken twice, and finally the
intent is deleted. The next process that finds an intent takes its steps again, which completes the change.
"""

import json
from collections.abc import Mapping
from typing import Literal, NamedTuple

from mlflow import MlflowClient

CHAMPION, PREVIOUS, INTENT, EVENT = "champion", "previous", "intent", "event."
VERDICT = "gate.verdict"
Kind = Literal["promotion", "override", "rollback"]


class Event(NamedTuple):
    """One change of champion."""

    number: int
    kind: Kind
    version: str
    """The new champion."""
    before: str | None
    """The champion until then; None for the first."""
    previous: str | None
    """The version that a rollback would go back to; None if there is none."""
    by: str
    """User who made the change."""
    why: str
    """Reason of the change."""
    at: str
    """Time of the change: UTC, ISO 8601."""
    figures: Mapping[str, float]
    """Figures of the new champion, as its run states them."""


def aliases(client: MlflowClient, name: str) -> dict[str, str]:
    """Return the version that each alias points to."""
    return {alias: str(version) for alias, version in client.get_registered_model(name).aliases.items()}


def read_events(client: MlflowClient, name: str) -> list[Event]:
    """List the changes, oldest first."""
    tags = client.get_registered_model(name).tags
    return [Event(**json.loads(tags[tag])) for tag in sorted(tags) if tag.startswith(EVENT)]


def write(client: MlflowClient, name: str, event: Event) -> None:
    """Make the change that `event` describes. The caller holds the lock and has recovered."""
    client.set_registered_model_tag(name, INTENT, json.dumps(event._asdict()))
    _carry_out(client, name, event)


def recover(client: MlflowClient, name: str) -> Event | None:
    """Finish a change that a crash has interrupted, and return it; None if there was none."""
    intent = client.get_registered_model(name).tags.get(INTENT)
    if not intent:
        return None
    event = Event(**json.loads(intent))
    _carry_out(client, name, event)
    return event


def _carry_out(client: MlflowClient, name: str, event: Event) -> None:
    if event.previous is None:
        if PREVIOUS in aliases(client, name):
            client.delete_registered_model_alias(name, PREVIOUS)
    else:
        client.set_registered_model_alias(name, PREVIOUS, event.previous)
    client.set_registered_model_alias(name, CHAMPION, event.version)
    if event.kind == "rollback" and event.before is not None:
        # It needs a new decision before it may come back.
        client.set_model_version_tag(name, event.before, VERDICT, "rolled_back")
    # The number comes from the intent, so that a step taken twice writes one event.
    client.set_registered_model_tag(name, f"{EVENT}{event.number:06d}", json.dumps(event._asdict()))
    client.delete_registered_model_tag(name, INTENT)
