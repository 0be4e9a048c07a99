"""Masks as COCO stores them: lengths of runs of background and object in turn, down the columns of the image.

Plain, the lengths are a list. Compressed, they are text: each number in groups of five bits, least first, as characters
from 48 on, of which bit 5 says that another group follows. From the fourth on, a number is the difference to the length
before the last.
"""

from collections.abc import Sequence
from typing import Any

from stages.download.layouts.listing import Polygon


def run_outlines(coded: dict[str, Any]) -> list[Polygon]:
    """Return the runs of the object as lines down a column, one pixel wide, that `draw_outlines` draws exactly.

    Args:
        coded: `size` as (height, width), and `counts`, a list or compressed text.

    Raises:
        ValueError: If the runs do not fill the image, or the text breaks off.
        KeyError, TypeError: If `coded` is something else.
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
        # Runs go on in the next column.
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
