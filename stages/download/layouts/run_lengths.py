"""Masks as COCO stores them: lengths of alternate runs of background and object, down the columns of the image.

Plain lengths are a list. Compressed lengths are text: each number is split into groups of five bits, lowest first; a
group is the character of code 48 plus its value, plus 32 if another group follows. From the fourth number on, it is the
difference to the length two places before.
"""

from collections.abc import Sequence
from typing import Any

from stages.download.layouts.listing import Polygon


def run_outlines(coded: dict[str, Any]) -> list[Polygon]:
    """Return the runs of the object as vertical lines, one pixel wide, which `draw_outlines` draws exactly.

    Args:
        coded: `size` as (height, width), and `counts`, a list or compressed text.

    Raises:
        ValueError: If the runs do not fill the image, or the text breaks off.
        KeyError, TypeError: If `coded` has another form.
    """
    height, width = coded["size"]
    counts = _decompressed(coded["counts"]) if isinstance(coded["counts"], str) else list(coded["counts"])
    if sum(counts) != height * width or min(counts) < 0:
        raise ValueError(f"runs of {sum(counts)} pixels for an image of {width} x {height}")
    return _lines(counts, height)


def _lines(counts: Sequence[int], height: int) -> list[Polygon]:
    lines: list[Polygon] = []
    end = 0
    for number, count in enumerate(counts):
        start, end = end, end + count
        # A run continues in the next column.
        while number % 2 and start < end:
            column, row = divmod(start, height)
            last = min(row + end - start, height) - 1
            lines.append(((column, row), (column, last)))
            start += last - row + 1
    return lines


def _decompressed(text: str) -> list[int]:
    counts: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - 48
        value |= (group & 0x1F) << shift
        shift += 5
        if group & 0x20:
            continue
        if group & 0x10:  # the highest bit is the sign
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))  # noqa: PLR2004  # the first three stand alone
        value = shift = 0
    if shift:
        raise ValueError("the run lengths break off")
    return counts
