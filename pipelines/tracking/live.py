"""Log a training while it goes on, by following its history file. The stages know nothing of it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import mlflow
from mlflow import MlflowClient

from pipelines.catalogue import Entry
from pipelines.tracking.track import log_history, start_run
from stages.common.schemas import read_history


class Follower:
    """Copies new records of a history into a run, in a thread of its own."""

    def __init__(self, client: MlflowClient, entry: Entry, run_id: str, poll_s: float) -> None:
        self.run_id = run_id
        self._client, self._path, self._poll_s = client, entry.paths.history, poll_s
        # Records that an earlier training left do not belong to this one.
        self._stale = self._read()
        self._last, self._stopped = -1, threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    @property
    def has_seen_training(self) -> bool:
        """Whether a training has written a record since; a stage from the cache writes none."""
        return self._last >= 0

    def begin(self) -> None:
        """Start to follow the history."""
        self._thread.start()

    def end(self) -> None:
        """Copy the last records and stop."""
        self._stopped.set()
        self._thread.join()
        self._look()

    def _follow(self) -> None:
        while not self._stopped.wait(self._poll_s):
            self._look()

    def _look(self) -> None:
        records = self._read()
        if records != self._stale:
            self._last = log_history(self._client, self.run_id, records, self._last)

    def _read(self) -> list[dict[str, float]]:
        try:
            return read_history(self._path)
        except ValueError:
            # What an earlier version left must not keep a training from running; `track` refuses what this one leaves.
            return []


@contextmanager
def follow(client: MlflowClient, entry: Entry, poll_s: float) -> Iterator[Follower]:
    """Follow the training of a category while the block runs: its losses and the load of the machine.

    A run in which no training was seen is deleted. Otherwise, pass its id to `tracking.track` as `adopt`.

    Args:
        client: Client of the store.
        entry: The category.
        poll_s: Pause between two looks at the history, s.
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
