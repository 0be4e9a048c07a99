"""A change of champion, killed before each of its steps, is whole after the next command."""

import pytest
from mlflow import MlflowClient

from pipelines.promotion.journal import INTENT, Event, aliases, read_events, recover, write

pytestmark = pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")  # mlflow leaves SQLite open

NAME = "toy-disc"
FIRST = Event(1, "promotion", "1", None, None, "me", "first", "2026-01-01T00:00:00+00:00", {"image_auroc": 0.9})
SECOND = FIRST._replace(number=2, version="2", before="1", previous="1", why="better")
BACK = FIRST._replace(number=3, kind="rollback", version="1", before="2", previous=None, why="worse")


class Killed(BaseException):
    """Stands for the end of the process: nothing catches it."""


class Dying(MlflowClient):
    """Dies before its n-th change of the registry."""

    def __init__(self, client, lives):
        super().__init__(client.tracking_uri, client.tracking_uri)
        self.lives = lives

    def __getattribute__(self, name):
        if name.startswith(("set_", "delete_")):
            self.lives -= 1
            if self.lives < 0:
                raise Killed
        return super().__getattribute__(name)


@pytest.fixture
def model(client):
    client.create_registered_model(NAME)
    for _ in range(2):
        client.create_model_version(NAME, "file:///nowhere")
    return client


def state(client):
    tags = {version: client.get_model_version(NAME, version).tags for version in "12"}
    return aliases(client, NAME), read_events(client, NAME), tags, client.get_registered_model(NAME).tags.get(INTENT)


def test_a_change_moves_both_aliases_and_is_written_down(model):
    for event in (FIRST, SECOND):
        write(model, NAME, event)

    assert aliases(model, NAME) == {"champion": "2", "previous": "1"}
    assert read_events(model, NAME) == [FIRST, SECOND]


def test_a_rollback_marks_what_it_leaves(model):
    for event in (FIRST, SECOND, BACK):
        write(model, NAME, event)

    assert aliases(model, NAME) == {"champion": "1"}
    assert model.get_model_version(NAME, "2").tags["gate.verdict"] == "rolled_back"


@pytest.mark.parametrize("event", [SECOND, BACK], ids=["promotion", "rollback"])
@pytest.mark.parametrize("lives", range(7))
def test_a_crash_before_any_step_is_recovered(model, event, lives):
    for earlier in (FIRST, SECOND, BACK)[: event.number - 1]:
        write(model, NAME, earlier)
    before = state(model)

    try:
        write(Dying(model, lives), NAME, event)
    except Killed:
        recovered = recover(model, NAME)
    else:
        recovered = event

    if lives == 0:
        assert recovered is None
        assert state(model) == before
        write(model, NAME, event)
    after = state(model)
    assert recover(model, NAME) is None
    assert after[0] == ({"champion": "2", "previous": "1"} if event is SECOND else {"champion": "1"})
    assert after[1] == [FIRST, SECOND, BACK][: event.number]
    assert after[3] is None
