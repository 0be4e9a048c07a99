"""What is made once for all workers of pytest-xdist, which share no session."""

import os
import shutil

from filelock import FileLock


def make_once(tmp_path_factory, name, make):
    """Let the first worker that asks for a folder make it; the others wait and take it as it is.

    Args:
        tmp_path_factory: Pytest's.
        name: Name of the folder. Whoever wants to change what it holds works on a copy.
        make: Fills the folder, which does not exist, of the path it is given.

    Returns:
        The folder.
    """
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder, made = base / name, base / f"{name}.made"
    with FileLock(base / f"{name}.lock"):
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)
            make(folder)
            made.touch()
    return folder
