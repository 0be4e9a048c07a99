"""Ranges of numbers: intervals that settings are drawn from, and evenly spaced indices."""

from typing import Annotated, TypeVar

import numpy as np
from pydantic import AfterValidator, Field

_N = TypeVar("_N", int, float)


def _ordered(interval: tuple[_N, _N]) -> tuple[_N, _N]:
    if interval[0] > interval[1]:
        raise ValueError("the lower end must not be above the upper one")
    return interval


_Unit = Annotated[float, Field(ge=0, le=1)]
_Positive = Annotated[float, Field(gt=0)]
_Level = Annotated[int, Field(ge=2)]

Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
"""Lower and upper end of an interval."""

PositiveRange = Annotated[tuple[_Positive, _Positive], AfterValidator(_ordered)]
"""A `Range` above 0."""

LevelRange = Annotated[tuple[_Level, _Level], AfterValidator(_ordered)]
"""Lower and upper end of an interval of integers, at least 2."""

UnitRange = Annotated[tuple[_Unit, _Unit], AfterValidator(_ordered)]
"""A `Range` within [0, 1]."""


def evenly_spaced(count: int, most: int) -> list[int]:
    """Pick at most `most` evenly spaced indices of `count` items, the first and the last among them.

    Args:
        count: Number of items, at least 1.
        most: Largest number of indices, at least 1; with 1, it is the first item.

    Returns:
        Distinct indices in 0 .. count - 1, rising; all of them if there are no more than `most`.

    Example:
        >>> evenly_spaced(9, 3)
        [0, 4, 8]
    """
    return [int(i) for i in np.unique(np.linspace(0, count - 1, min(count, most)).round())]
