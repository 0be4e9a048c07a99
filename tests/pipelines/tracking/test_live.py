"""Logging a training while it goes on. The training here is a file that grows."""

import json
import time

import pytest

from pipelines.tracking.live import follow
from pipelines.tracking.track import track

pytestmark = pytest.mark.filterwarnings("ignore:unclosed database:ResourceWarning")  # mlflow leaves SQLite open


def steps(client, run_id):
    return [metric.step for metric in client.get_metric_history(run_id, "loss_total")]


def wait_for(condition, timeout_s=60):
    end = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < end:
        time.sleep(0.02)
    return condition()


def test_records_arrive_while_the_training_goes_on_and_the_run_is_completed_after_it(client, entry):
    history = entry.paths.history
    with follow(client, entry, poll_s=0.02) as follower:
        run_id = follower.run_id
        for count in (1, 2, 3):
            lines = [json.dumps({"step": 10 * i, "loss_total": 1 / i}) + "\n" for i in range(1, count + 1)]
            history.write_text("".join(lines))
            assert wait_for(lambda n=count: steps(client, run_id) == [10 * i for i in range(1, n + 1)])
        assert client.get_run(run_id).info.status == "RUNNING"

    assert follower.has_seen_training
    assert track(client, entry, adopt=run_id) == run_id
    assert steps(client, run_id) == [10, 20, 30]


def test_what_an_earlier_training_left_is_no_training(client, entry):
    with follow(client, entry, poll_s=0.02) as follower:
        time.sleep(0.1)

    assert not follower.has_seen_training
    assert client.get_run(follower.run_id).info.lifecycle_stage == "deleted"


def test_a_history_of_another_form_keeps_no_training_from_being_followed(client, entry):
    entry.paths.history.write_text('{"epoch": 1}\n')
    with follow(client, entry, poll_s=0.02) as follower:
        entry.paths.history.write_text('{"step": 1, "loss_total": 5.0}\n')

    assert follower.has_seen_training
    assert steps(client, follower.run_id) == [1]


def test_a_training_that_fails_leaves_a_failed_run(client, entry):
    followers = []

    def train():
        with follow(client, entry, poll_s=0.02) as follower:
            followers.append(follower)
            entry.paths.history.write_text('{"step": 1, "loss_total": 5.0}\n')
            raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        train()

    assert client.get_run(followers[0].run_id).info.status == "FAILED"
    assert steps(client, followers[0].run_id) == [1]
