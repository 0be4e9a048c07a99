"""Read annotation files that other tools wrote, and say what in them matches nothing."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

LONGEST_NAME = 1000
NAMED = 3
"""Leftover records that an error names."""


def read_json(path: Path) -> Any:  # noqa: ANN401  # whatever the file holds
    """Read JSON in UTF-8, UTF-16 or UTF-32, with or without a byte order mark.

    Raises:
        ValueError: If it is no JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from None


def records(path: Path, table: dict[str, Any], key: str) -> list[dict[str, Any]]:
    """Return the records below a key of an annotation file.

    Raises:
        ValueError: If they are no list of records.
    """
    found = table.get(key)
    if not isinstance(found, list) or not all(isinstance(record, dict) for record in found):
        raise ValueError(f"{path}: expected a list of records below `{key}`, got {str(found)[:60]}")
    return found


def is_name(text: object) -> bool:
    """Whether a value may be the name of a file."""
    return isinstance(text, str) and 0 < len(text) <= LONGEST_NAME and "\0" not in text


def stated_size(height: Any, width: Any) -> tuple[int, int] | None:  # noqa: ANN401  # whatever the file holds
    """The size that a file states, (height, width) in px; None if it states none."""
    sides = [int(side) if str(side).strip().isdecimal() else 0 for side in (height, width)]
    return (sides[0], sides[1]) if all(sides) else None


def refuse_leftovers(path: Path, what: str, rows: Sequence[str]) -> None:
    """Refuse records that match nothing.

    Args:
        path: The file.
        what: What they are, and the way out.
        rows: A description of each; the first are named.

    Raises:
        ValueError: If there are any.
    """
    if rows:
        more = f", and {len(rows) - NAMED} more" if len(rows) > NAMED else ""
        raise ValueError(f"{path}: {what}: {'; '.join(rows[:NAMED])}{more}")
