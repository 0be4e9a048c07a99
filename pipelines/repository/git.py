"""The one place that runs git."""

import subprocess
from pathlib import Path


def git(folder: Path, *arguments: str) -> str:
    """Run git in a folder and return its output, without white space at the ends.

    Raises:
        ValueError: If it fails, or is not installed.
    """
    command = f"`git {' '.join(arguments)}`"
    try:
        done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise ValueError(f"{folder}: {command} cannot be run: {error}") from None
    if done.returncode:
        raise ValueError(f"{folder}: {command} failed: {' '.join(done.stderr.split())}")
    return done.stdout.strip()
