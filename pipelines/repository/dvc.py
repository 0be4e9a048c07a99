"""The one place that runs DVC."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from pipelines.errors import TransientError
from pipelines.processes import stream
from stages.download.watch.look import SWITCH

StageOutcome = Literal["ran", "restored", "unchanged"]
"""What DVC did with a stage: ran it, took its outputs from the cache, or found nothing changed."""

STAGE_STATUS = re.compile(r"ERROR: failed to reproduce .*, exited with (-?\d+)")
"""How DVC reports the exit status of a stage that failed; it exits with a status of its own."""

ALWAYS = "always changed"
"""What `dvc status` says of a stage that runs in any case."""

TRANSIENT = (
    # Locks that other processes of DVC hold.
    "Unable to acquire lock",
    "is busy, it is being blocked by",
    # Messages of botocore, with which DVC talks to a remote.
    "Could not connect to the endpoint URL",
    "Connection was closed",
    "Connect timeout",
    "Read timeout",
)
"""Parts of DVC's own errors that another attempt may mend; DVC has no exit status for them."""


def run_dvc(folder: Path, *arguments: str, looks: bool = True) -> None:
    """Run a command of DVC in a folder; its output goes to the terminal.

    Args:
        folder: Root of the checkout.
        arguments: Command and options for DVC.
        looks: Whether sources of data are looked at again; if not, what dvc.lock knows of them counts.

    Raises:
        ValueError: If it fails.
    """
    environment = _environment() | ({} if looks else {SWITCH: "no"})
    done = subprocess.run(_command(*arguments), cwd=folder, env=environment, check=False)
    if done.returncode:
        raise ValueError(f"{folder}: `dvc {' '.join(arguments)}` failed with status {done.returncode}; see above")


def stream_dvc(folder: Path, say: Callable[[str], None], timeout_s: float, *arguments: str) -> tuple[str, ...]:
    """Run a command of DVC for a flow.

    Args:
        folder: Root of the checkout.
        say: Called with each line of output as it comes.
        timeout_s: Time limit, s; the command is then stopped.
        arguments: Command and options for DVC.

    Returns:
        The last lines of its output.

    Raises:
        TransientError: If a stage leaves with os.EX_TEMPFAIL, or DVC finds a lock taken or a remote out of reach.
        ValueError: If the command fails otherwise, or takes too long.
    """
    ended = stream(_command(*arguments), folder, say, timeout_s, _environment())
    name = f"`dvc {' '.join(arguments)}`"
    if ended.timed_out:
        raise ValueError(f"{name} took longer than {timeout_s:g} s and was stopped")
    if ended.status < 0:
        raise ValueError(f"{name} was stopped by signal {-ended.status}")
    if ended.status:
        kind = TransientError if _is_transient(ended.lines) else ValueError
        raise kind(f"{name} failed: {_reason(ended.lines)}")
    return ended.lines


def reproduce_stage(
    stage: str, folder: Path, say: Callable[[str], None], timeout_s: float, *, force: bool = False
) -> StageOutcome:
    """Bring one stage up to date; the stages before it must be up to date already.

    Args:
        stage: Name of the stage as `dvc dag` shows it, such as `train@elpv-mono`.
        folder: Root of the checkout.
        say: Called with each line of output as it comes.
        timeout_s: Time limit, s; the stage is then stopped.
        force: Whether to run the stage even if nothing changed.

    Raises:
        TransientError: Same as `stream_dvc`.
        ValueError: Same as `stream_dvc`.
    """
    said: list[str] = []

    def hear(line: str) -> None:
        said.append(line)
        say(line)

    # --wait-for-lock belongs before `repro`; without it, a second process gives up on the lock after three seconds.
    options = ["--single-item", *(["--force"] if force else [])]
    stream_dvc(folder, hear, timeout_s, "--wait-for-lock", "repro", *options, stage)
    if any(re.match(rf"Running stage '{re.escape(stage)}'", line) for line in said):
        return "ran"
    return "restored" if any("is cached - skipping run" in line for line in said) else "unchanged"


def changed_stages(*targets: str, looks: bool = False) -> list[str] | None:
    """List those of `targets` and the stages before them whose code, settings, data or outputs differ from dvc.lock.

    Args:
        targets: Names of stages.
        looks: Whether the looks at sources count too, which DVC always runs.

    Returns:
        The names of the stages; None if this is no DVC repository, or one of the stages does not exist.
    """
    # Another process may hold DVC's lock for a moment.
    command = _command("--wait-for-lock", "status", "--json", "--with-deps", *targets)
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        return None
    return sorted(name for name, changes in json.loads(done.stdout).items() if looks or changes != [ALWAYS])


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dvc", *arguments]


def _environment() -> dict[str, str]:
    # A fresh clone has no environment of its own: its stages run in this one, with the code of the clone.
    return os.environ | {"STAGE_PYTHON": sys.executable, "DVC_NO_ANALYTICS": "1"}


def _is_transient(lines: tuple[str, ...]) -> bool:
    statuses = [int(match[1]) for line in lines if (match := STAGE_STATUS.match(line))]
    if statuses:
        return os.EX_TEMPFAIL in statuses
    return any(part in line for line in lines for part in TRANSIENT)


def _reason(lines: tuple[str, ...]) -> str:
    """The last line `error: ...` of a stage; without one, the last `ERROR: ...` of DVC."""
    ours = [line for line in lines if line.startswith("error: ")]
    theirs = [line for line in lines if line.startswith("ERROR: ")]
    found = (ours or theirs or [line for line in lines if line.strip()] or ["no reason given"])[-1]
    return found.removeprefix("error: ").removeprefix("ERROR: ")
