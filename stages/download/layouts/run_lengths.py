"""Masks as COCO stores them: lengths of alternate runs of background and object, down the columns of the image.

Plain lengths are a list. Compressed lengths are text: each number is split into groups of five bits, lowest first; a
group is the character of code 48 plus its value, plus 32 if another group follows. From the fourth number on, it is the
difference to the length two places before.
"""

from typing import Any

from stages.download.layouts.outlines import Runs


def read_runs(coded: dict[str, Any]) -> Runs:
    """Read a mask.

    Args:
        coded: `size` as (height, width), and `counts`, a list or compressed text.

    Raises:
        ValueError: If the runs do not fill the image, or the text breaks off.
        KeyError, TypeError: If `coded` has another form.
    """
    height, width = map(int, coded["size"])
    counts = _decompressed(coded["counts"]) if isinstance(coded["counts"], str) else list(map(int, coded["counts"]))
    if not counts or sum(counts) != height * width or min(counts) < 0:
        raise ValueError(f"runs of {sum(counts)} pixels for an image of {width} x {height}")
    return Runs((height, width), tuple(counts))


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
