"""The base of every section of params.yaml, and intervals that settings are drawn from."""

from typing import Annotated, TypeVar

from pydantic import AfterValidator, BaseModel, Field

_N = TypeVar("_N", int, float)


def _ordered(interval: tuple[_N, _N]) -> tuple[_N, _N]:
    if interval[0] > interval[1]:
        raise ValueError("the lower end must not be above the upper one")
    return interval


_Unit = Annotated[float, Field(ge=0, le=1)]
_Positive = Annotated[float, Field(gt=0)]
_Level = Annotated[int, Field(ge=2)]


class Section(BaseModel, frozen=True, extra="forbid", strict=True):
    """One section of params.yaml: immutable, no unknown keys, no silent casts.

    Fields have no defaults. params.yaml is the only place where a value is
    written down, so that DVC, which tracks that file, sees every change.
    """


Range = Annotated[tuple[float, float], AfterValidator(_ordered)]
"""Lower and upper end of a uniform draw."""

PositiveRange = Annotated[tuple[_Positive, _Positive], AfterValidator(_ordered)]
"""A Range above 0."""

LevelRange = Annotated[tuple[_Level, _Level], AfterValidator(_ordered)]
"""Two counts of at least 2."""

UnitRange = Annotated[tuple[_Unit, _Unit], AfterValidator(_ordered)]
"""A Range inside [0, 1]."""
