"""What all commands share: finding the categories that are meant, and printing."""

import argparse
import sys
from typing import TextIO

from pipelines.catalogue import Entry, find_categories

STATUS_REFUSED = 3
"""Exit status if the gate refused."""


def entries_of(options: argparse.Namespace) -> list[Entry]:
    """Find the categories that a command line names.

    Raises:
        ValueError: If it names none, or one that does not exist.
    """
    if getattr(options, "all", False):
        return find_categories(None, None)
    if options.dataset is None:
        raise ValueError("which data set? say --dataset, and --category for one of its categories")
    return find_categories(options.dataset, options.category)


def say(text: str, file: TextIO | None = None) -> None:
    """Print a line."""
    print(text, file=file or sys.stdout)
