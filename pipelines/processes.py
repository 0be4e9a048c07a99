"""Processes that a flow waits for. None outlives the flow: one whose body fails or is cancelled calls `stop_all`."""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

GRACE_S = 10.0
"""Time between SIGTERM and SIGKILL, s."""
TAIL = 40
"""How many of the last lines of output are kept."""

_running: set[subprocess.Popen[str]] = set()
_guard = threading.Lock()


class Ended(NamedTuple):
    """How a process ended."""

    status: int
    """Exit status; minus the number of the signal if one ended it."""
    lines: tuple[str, ...]
    """The last lines that it wrote, to stdout and stderr together."""
    timed_out: bool


def stream(
    command: Sequence[str],
    folder: Path,
    say: Callable[[str], None],
    timeout_s: float,
    environment: Mapping[str, str] | None = None,
) -> Ended:
    """Run a process in a group of its own and pass on each line that it writes.

    Args:
        command: The program and its arguments.
        folder: Its working directory.
        say: Called with each line of output as it comes.
        timeout_s: Time limit, s; the process is then stopped.
        environment: Variables added to those of this process.
    """
    # A group and not a session: who started this process can end its whole session, even after it was killed.
    process = subprocess.Popen(
        command,
        cwd=folder,
        env=os.environ | dict(environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        process_group=0,
    )
    with _guard:
        _running.add(process)
    late = threading.Event()

    def expire() -> None:
        late.set()
        _stop(process)

    timer = threading.Timer(timeout_s, expire)
    timer.start()
    lines: list[str] = []
    try:
        assert process.stdout is not None  # noqa: S101  # it is a pipe
        with process.stdout as output:
            for line in output:
                text = line.rstrip()
                lines = [*lines[1 - TAIL :], text]
                if text:
                    say(text)
        status = process.wait()
    finally:
        timer.cancel()
        _stop(process)
        with _guard:
            _running.discard(process)
    return Ended(status, tuple(lines), late.is_set())


def stop_all() -> None:
    """Stop every process that this one waits for, with everything that they started."""
    with _guard:
        processes = list(_running)
    for process in processes:
        _signal_group(process, signal.SIGTERM)
    for process in processes:
        _stop(process)


def end_session(leader: int) -> None:
    """End all processes of a session, except this one."""
    _end([process for process in psutil.process_iter() if _session(process) == leader and process.pid != os.getpid()])


def end_inside(folder: Path) -> None:
    """End all processes that a killed flow has left working inside a folder; those of a terminal are spared."""
    _end([process for process in psutil.process_iter() if _is_inside(process, folder.resolve())])


def _end(processes: list[psutil.Process]) -> None:
    for process in processes:
        _tell(process.terminate)
    _, alive = psutil.wait_procs(processes, timeout=GRACE_S)
    for process in alive:
        _tell(process.kill)
    psutil.wait_procs(alive, timeout=GRACE_S)


def _tell(message: Callable[[], None]) -> None:
    try:
        message()
    except psutil.NoSuchProcess:
        return


def _stop(process: subprocess.Popen[str]) -> None:
    _signal_group(process, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE_S)
    # Its leader may be gone while others of the group are not.
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: subprocess.Popen[str], number: signal.Signals) -> None:
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


def _session(process: psutil.Process) -> int | None:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return None


def _is_inside(process: psutil.Process, folder: Path) -> bool:
    try:
        is_inside = Path(process.cwd()).is_relative_to(folder)
        return is_inside and process.terminal() is None and process.pid != os.getpid()
    except (psutil.Error, OSError):
        return False
