"""Curves of a training while it goes on: its history file, followed into a run. Stages know nothing of it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import mlflow
from mlflow import MlflowClient

from pipelines.catalogue import Entry
from pipelines.tracking.results import read_history
from pipelines.tracking.track import log_history, start_run


class Follower:
    """Copies new records of a history into a run, from a thread of its own."""

    def __init__(self, client: MlflowClient, entry: Entry, run_id: str, poll_s: float) -> None:
        self.run_id = run_id
        self._client, self._path, self._poll_s = client, entry.paths.history, poll_s
        # What an earlier training left says nothing of this one.
        self._stale = read_history(self._path)
        self._last, self._stopped = -1, threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    @property
    def has_seen_training(self) -> bool:
        """Whether a training wrote a record since; a cached stage does not."""
        return self._last >= 0

    def begin(self) -> None:
        """Start to look."""
        self._thread.start()

    def end(self) -> None:
        """Look once more and stop."""
        self._stopped.set()
        self._thread.join()
        self._look()

    def _follow(self) -> None:
        while not self._stopped.wait(self._poll_s):
            self._look()

    def _look(self) -> None:
        records = read_history(self._path)
        if records != self._stale:
            self._last = log_history(self._client, self.run_id, records, self._last)


@contextmanager
def follow(client: MlflowClient, entry: Entry, poll_s: float) -> Iterator[Follower]:
    """Follow the training of a category while the block runs, with the load of the machine beside its losses.

    A run in which no training was seen is deleted. Otherwise give its id to `tracking.track` as `adopt`.

    Args:
        client: Of the store.
        entry: The category.
        poll_s: Pause between two looks at the history.
    """
    run_id = start_run(client, entry)
    follower = Follower(client, entry, run_id, poll_s)
    follower.begin()
    try:
        with mlflow.start_run(run_id=run_id, log_system_metrics=True):
            yield follower
    finally:
        follower.end()
        if not follower.has_seen_training:
            client.delete_run(run_id)
