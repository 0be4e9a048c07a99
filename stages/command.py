"""The command line that all stages share: `python -m stages.STAGE KEY`."""

import atexit
import errno
import gc
import logging
import os
import sys
from collections.abc import Callable

from diffusionad.detectors import check_kind
from stages.params import read_category
from stages.paths import CategoryPaths


class TemporaryError(ValueError):
    """A refusal that another attempt may mend, because a server or the network did not answer."""


def leave_at_once() -> None:
    """Make this process exit without a final garbage collection, which takes a second with the libraries loaded."""
    atexit.register(gc.freeze)


def run(stage: Callable[[str, CategoryPaths], None]) -> None:
    """Call `stage(key, paths)` for the category key on the command line; turn a refusal into one line and a status.

    Errors that a user can cause are ValueError, OSError and, through learning rates, FloatingPointError; anything else
    is a bug and keeps its traceback.

    Exit status: 0 done, 75 (os.EX_TEMPFAIL) a `TemporaryError`, 1 any other error.
    """
    leave_at_once()
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    if len(sys.argv) != 2:  # noqa: PLR2004  # the program and one key
        module = stage.__module__.removesuffix(".stage")
        sys.exit(f"usage: python -m {module} KEY, where KEY is an entry of `categories` in params.yaml")
    try:
        key = sys.argv[1]
        category = read_category(key)
        if category.detector is not None:
            check_kind(category.detector)  # now, not after the stages before the training
        stage(key, CategoryPaths(category.dataset, category.category))
    except TemporaryError as error:
        sys.stderr.write(f"error: {error}\n")
        sys.exit(os.EX_TEMPFAIL)
    except (ValueError, FloatingPointError) as error:
        sys.exit(f"error: {error}")
    except OSError as error:
        sys.exit(f"error: {_explain(error)}")


def _explain(error: OSError) -> str:
    if error.errno == errno.ENOSPC:
        place = f" ({error.filename})" if error.filename else ""
        return f"the disk is full{place}; free some space and run `dvc repro` again: what was made before is kept"
    return str(error)
