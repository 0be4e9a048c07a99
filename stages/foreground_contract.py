"""What is suspicious about foreground masks: warnings, for an odd mask harms less than a stage that stops."""

from collections.abc import Collection, Mapping

import numpy as np

MAX_NAMED = 20
"""Masks named in the summary; their count is kept in full."""


def flags(areas: Mapping[str, float], whole: Collection[str], max_change: float) -> list[str]:
    """Return a line for each mask that was empty, is full, or is far in area from the others.

    Args:
        areas: Part of the image that the object covers, in (0, 1], by image.
        whole: The images whose mask was empty or not credible, so that the whole image is taken.
        max_change: How far an area may be from the median of the others, relative to it.
    """
    found = {name: area for name, area in areas.items() if name not in whole}
    median = float(np.median(list(found.values()))) if found else 1.0
    lines = []
    for name, area in areas.items():
        if name in whole:
            lines.append(f"{name}: no credible object; the whole image is taken")
        elif area == 1:
            lines.append(f"{name}: the object is the whole image")
        elif abs(area - median) > max_change * median:
            lines.append(f"{name}: the object covers {area:.1%} of the image, the median is {median:.1%}")
    return lines


def told(lines: list[str]) -> list[str]:
    """Return the first lines, and how many more there are."""
    rest = len(lines) - MAX_NAMED
    return lines if rest <= 0 else [*lines[:MAX_NAMED], f"... and {rest} more"]
