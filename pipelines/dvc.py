"""The one place that runs DVC."""

import os
import subprocess
import sys
from pathlib import Path


def run_dvc(folder: Path, *arguments: str) -> None:
    """Run a command of DVC in a folder; its output goes to the terminal.

    Raises:
        ValueError: If it fails.
    """
    # A fresh clone has no environment of its own: its stages run on this one, with the code of the clone.
    environment = os.environ | {"STAGE_PYTHON": sys.executable, "DVC_NO_ANALYTICS": "1"}
    done = subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=folder, env=environment, check=False)
    if done.returncode:
        raise ValueError(f"{folder}: `dvc {' '.join(arguments)}` failed with status {done.returncode}; see above")
