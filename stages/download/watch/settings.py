"""Read every setting before anything runs, so that hours of work do not end at a typo or at an image size."""

import hashlib
import subprocess
import sys
from pathlib import Path

from stages.files import atomic_file, file_digest
from stages.params import DETECTORS, PARAMS

CHECKED = Path(".local", "settings-checked")
"""Digest of the settings and code that passed last."""
CODE = ("diffusionad", "stages", str(DETECTORS))
KINDS = (".py", ".yaml", ".json")
"""Endings of the files in there that decide whether settings can be read."""


def check_settings() -> None:
    """Read every setting, and build every network of `categories` without its weights.

    The check loads everything that the stages load, which takes seconds, in a process of its own. Settings and code
    that passed are not checked again.

    Raises:
        ValueError: If a setting is wrong; one line for each.
    """
    digest = hashlib.sha256()
    files = [file for room in CODE for file in sorted(Path(room).rglob("*")) if file.suffix in KINDS]
    for path in [PARAMS, *files]:
        digest.update(f"{path.as_posix()}\0{file_digest(path)}\n".encode())
    if CHECKED.is_file() and CHECKED.read_text() == digest.hexdigest():
        return
    done = subprocess.run([sys.executable, "-m", "stages.tools.check"], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ValueError(done.stderr.strip().removeprefix("error: "))
    with atomic_file(CHECKED) as draft:
        draft.write_text(digest.hexdigest())
