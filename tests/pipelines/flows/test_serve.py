"""`make serve` as a user has it: with a server of its own, asked from another terminal, stopped by a signal."""

import contextlib
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

pytestmark = pytest.mark.slow
SEEN = """
from pathlib import Path
from pipelines.catalogue import find_categories
from pipelines.repository.changes import current_state, write_state
(entry,) = find_categories("plates", "plate")
write_state(entry.key, current_state(entry, Path.cwd()), Path.cwd())
"""
"""Writes the state that a retraining leaves when it has just ended."""


def wait_for(ask, process):
    """Ask until there is an answer, as long as the process runs."""
    while True:
        assert process.poll() is None, "it ended by itself"
        with contextlib.suppress(httpx.HTTPError):
            if answer := ask():
                return answer
        time.sleep(0.2)


def test_schedules_are_made_runs_are_taken_from_elsewhere_and_a_signal_leaves_no_process(plates):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = plates.environment | {"PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    plates.environment.pop("PREFECT_API_URL")
    plates.environment |= {
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "1",
        "PREFECT_RUNNER_POLL_FREQUENCY": "1",
    }
    subprocess.run([sys.executable, "-c", SEEN], cwd=plates.root, env=plates.environment, check=True)
    process = plates.start("python", "-m", "pipelines.cli", "serve")
    api = httpx.Client(base_url=environment["PREFECT_API_URL"], timeout=60)

    def runs(kind):
        return api.post("/flow_runs/filter", json={"flow_runs": {"state": {"type": {"any_": [kind]}}}}).json()

    scheduled = wait_for(lambda: runs("SCHEDULED"), process)
    command = [sys.executable, "-m", "prefect", "deployment", "run", "retraining/plates", "--watch"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    (ended,) = runs("COMPLETED")
    api.close()
    process.send_signal(signal.SIGTERM)
    process.wait(120)

    assert all("T03:00:00" in run["expected_start_time"] for run in scheduled)
    assert done.returncode == 0, done.stdout + done.stderr
    assert ended["state"]["message"] == "nothing changed since the last retraining of plates-plate"
    assert process.returncode == 128 + signal.SIGTERM
    assert plates.processes() == []
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port))


def test_a_wrong_cron_ends_it_in_one_line_and_makes_no_deployment(quick, prefect_api):
    checkout = quick("wrong")
    checkout.change(orchestration__schedules={"toy": {"cron": "61 * * * *", "timezone": "Etc/UTC"}})

    done = checkout.run("python", "-m", "pipelines.cli", "serve", check=False)

    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: params.yaml: orchestration.schedules.toy.cron: ")
    named = httpx.post(f"{prefect_api}/deployments/filter", json={"deployments": {"name": {"any_": ["toy"]}}})
    assert [one["schedules"] for one in named.json() if one["schedules"]] == []
