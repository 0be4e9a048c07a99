"""The one place that runs DVC."""

import json
import os
import subprocess
import sys
from pathlib import Path


def run_dvc(folder: Path, *arguments: str) -> None:
    """Run a command of DVC in a folder; its output goes to the terminal.

    Raises:
        ValueError: If it fails.
    """
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=folder, env=_environment(), check=False)
    if done.returncode:
        raise ValueError(f"{folder}: `dvc {' '.join(arguments)}` failed with status {done.returncode}; see above")


def changed_stages(target: str) -> list[str] | None:
    """List the stages, of `target` and those before it, whose code, settings, data or outs are not those of dvc.lock.

    None if that cannot be told: no DVC repository here, or no such stage.
    """
    # Another process may hold DVC's lock for a moment.
    command = [sys.executable, "-m", "dvc", "--wait-for-lock", "status", "--json", "--with-deps", target]
    done = subprocess.run(command, env=_environment(), capture_output=True, text=True, check=False)
    return None if done.returncode else sorted(json.loads(done.stdout))


def _environment() -> dict[str, str]:
    # A fresh clone has no environment of its own: its stages run on this one, with the code of the clone.
    return os.environ | {"STAGE_PYTHON": sys.executable, "DVC_NO_ANALYTICS": "1"}
