"""The command line that all stages share: `python -m stages.STAGE KEY`."""

import atexit
import errno
import gc
import logging
import sys
from collections.abc import Callable

from stages.params import read_category
from stages.paths import CategoryPaths


def leave_at_once() -> None:
    """Make this process exit without a final garbage collection, which takes a second with the libraries loaded."""
    atexit.register(gc.freeze)


def run(stage: Callable[[str, CategoryPaths], None]) -> None:
    """Call `stage(key, paths)` for the category key on the command line; exit with one line and status 1 on an error.

    Errors that a user can cause are ValueError, OSError and, through the learning rates, FloatingPointError. Anything
    else is a bug and keeps its traceback.
    """
    leave_at_once()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    if len(sys.argv) != 2:  # noqa: PLR2004  # the program and one key
        sys.exit(f"usage: python -m {stage.__module__} KEY, where KEY is an entry of `categories` in params.yaml")
    try:
        key = sys.argv[1]
        category = read_category(key)
        stage(key, CategoryPaths(category.dataset, category.category))
    except (ValueError, FloatingPointError) as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {_explain(error)}")


def _explain(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        place = f" ({error.filename})" if error.filename else ""
        return f"the disk is full{place}; free some space and run `dvc repro` again: what was made before is kept"
    return str(error)
