"""Start flows, and the server of their schedules, so that no process is left when the command ends.

Each process that is started leads a session of its own, and the whole session is ended with it: otherwise Prefect's
embedded server and the stages of a killed flow would live on.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipelines.processes import end_session

HOME = Path(".local", "prefect")
"""Prefect's database and settings, where no server is named."""
START_S = 600
"""How long a starting server may take to answer, s."""
PORT = "4200"
SERVER = [sys.executable, "-m", "uvicorn", "--factory", "pipelines.launch.server:create_app"]
SERVER += ["--host", "127.0.0.1", "--log-level", "error", "--lifespan", "on"]
EPHEMERAL = {"PREFECT_UI_ENABLED": "0", "PREFECT__SERVER_EPHEMERAL": "1", "PREFECT__SERVER_FINAL": "1"}
"""What Prefect sets for the server that it starts for a flow itself; ours starts before the flow has loaded."""
AWAIT = "await-server"
"""Argument of `pipelines.launch.process`: the server is still starting."""
LOCK_S = 600
"""How long to wait for another process that makes the database, s."""


def launch_flow(name: str, parameters: Mapping[str, Any]) -> int:
    """Run a flow and return its exit status; without PREFECT_API_URL, on a server of its own.

    Raises:
        ValueError: If Prefect's database cannot be made, or the server does not come up.
    """
    environment = prepare()
    command = [sys.executable, "-m", "pipelines.launch.process", name, json.dumps(parameters)]
    with _stopped_by_signals(), contextlib.ExitStack() as stack:
        if environment.get("PREFECT_API_URL"):
            return stack.enter_context(_session(command, environment)).wait()
        port = _free_port()
        server = stack.enter_context(_session([*SERVER, "--port", str(port)], environment | EPHEMERAL))
        environment["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
        # Side by side: both take seconds to load.
        process = stack.enter_context(_session([*command, AWAIT], environment))
        _await_server(server, environment["PREFECT_API_URL"])
        return process.wait()


def launch_schedules() -> int:
    """Serve the deployments of params.yaml until stopped; without PREFECT_API_URL, on a local server.

    Raises:
        ValueError: If the server does not come up.
    """
    environment = prepare()
    with _stopped_by_signals(), contextlib.ExitStack() as stack:
        processes = []
        if not environment.get("PREFECT_API_URL"):
            port = environment.get("PREFECT_SERVER_API_PORT", PORT)
            environment["PREFECT_API_URL"] = f"http://127.0.0.1:{port}/api"
            command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
            server = stack.enter_context(_session(command, environment, stdout=subprocess.DEVNULL))
            _await_server(server, environment["PREFECT_API_URL"])
            processes.append(server)
        command = [sys.executable, "-m", "pipelines.flows.schedules"]
        processes.append(stack.enter_context(_session(command, environment)))
        while all(process.poll() is None for process in processes):
            time.sleep(0.5)
        return next(process.returncode for process in processes if process.returncode is not None)


def prepare() -> dict[str, str]:
    """Return the environment of flows: this one, with a home for Prefect whose database is ready."""
    environment = dict(os.environ)
    if environment.get("PREFECT_API_URL"):
        return environment
    home = Path(environment.setdefault("PREFECT_HOME", str(HOME.absolute())))
    # Prefect does not create it, and would only report after minutes that its server timed out.
    home.mkdir(parents=True, exist_ok=True)
    stamp, version = home / "schema", metadata.version("prefect")
    # Two servers that make the tables of one database at once both fail: one makes them, the others wait.
    with FileLock(home / "schema.lock", timeout=LOCK_S):
        if not stamp.is_file() or stamp.read_text() != version:
            sys.stderr.write(f"{home}: making Prefect's database, once; this takes a while\n")
            sys.stderr.flush()
            command = [sys.executable, "-m", "prefect", "server", "database", "upgrade", "--yes"]
            done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                raise ValueError(f"{home}: Prefect's database cannot be made ready: {last}")
            stamp.write_text(version)
    return environment


@contextlib.contextmanager
def _session(
    command: list[str], environment: Mapping[str, str], stdout: int | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, env=environment, stdout=stdout, start_new_session=True)
    try:
        yield process
    finally:
        # Only its leader at first: a flow then stops what it started and reports that to Prefect.
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(30)
        end_session(process.pid)
        process.wait()


@contextlib.contextmanager
def _stopped_by_signals() -> Iterator[None]:
    def stop(number: int, _: object) -> None:
        # Once only: a second signal must not interrupt the clean-up.
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.exit(128 + number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _await_server(server: subprocess.Popen[bytes], url: str) -> None:
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if server.poll() is not None:
            break
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):  # noqa: S310  # http, by launch_schedules
                return
        except OSError:
            time.sleep(0.2)
    raise ValueError(
        f"{url}: no Prefect server came up there; is the port taken? PREFECT_SERVER_API_PORT names another"
    )
