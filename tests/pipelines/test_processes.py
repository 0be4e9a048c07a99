"""Processes are ended together with everything that they started."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from pipelines.processes import end_inside, end_session, stop_all, stream

# A process that starts another one, which would live for long and does not listen to SIGTERM.
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('child', flush=True); time.sleep(600)"
)
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {STUBBORN!r}], cwd=sys.argv[1], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
child.wait()
"""


def is_gone(pid):
    """Wait until a process is gone: even after SIGKILL it takes a moment to end."""
    for _ in range(200):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.05)
    return False


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr("pipelines.processes.GRACE_S", 0.5)


def test_what_a_process_says_is_handed_on_line_by_line_and_its_status_is_told(tmp_path):
    said = []

    program = "import sys; print('one'); print('two', file=sys.stderr, flush=True); sys.exit(7)"

    ended = stream([sys.executable, "-u", "-c", program], tmp_path, said.append, 60)

    assert said == ["one", "two"]
    assert (ended.status, ended.lines, ended.timed_out) == (7, ("one", "two"), False)


def test_a_process_that_takes_too_long_goes_with_its_children(tmp_path, quick):
    said = []

    ended = stream([sys.executable, "-c", PARENT, str(tmp_path)], tmp_path, said.append, 3)

    assert ended.timed_out
    assert is_gone(int(said[0]))


def test_stop_all_ends_what_another_thread_waits_for(tmp_path, quick):
    said, ended = [], []
    waiting = threading.Thread(
        target=lambda: ended.append(stream([sys.executable, "-c", PARENT, str(tmp_path)], tmp_path, said.append, 600))
    )
    waiting.start()
    while not said:
        time.sleep(0.05)

    stop_all()
    waiting.join(60)

    assert ended[0].status < 0
    assert not ended[0].timed_out
    assert is_gone(int(said[0]))


@pytest.mark.parametrize("end", ["session", "folder"])
def test_what_a_killed_process_left_behind_is_found_by_its_session_or_its_folder(tmp_path, quick, end):
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    orphan = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert psutil.pid_exists(orphan)

    if end == "session":
        end_session(parent.pid)
    else:
        end_inside(tmp_path)

    assert is_gone(orphan)


def test_who_works_elsewhere_is_left_alone(tmp_path):
    (tmp_path / "a").mkdir()
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, cwd=tmp_path)

    end_inside(tmp_path / "a")

    assert bystander.poll() is None
    bystander.communicate(b"\n")
    assert Path(f"/proc/{os.getpid()}").exists()
