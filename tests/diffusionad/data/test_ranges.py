import pytest
from pydantic import TypeAdapter, ValidationError

from diffusionad.data.ranges import LevelRange, PositiveRange, Range, UnitRange, evenly_spaced


@pytest.mark.parametrize(
    ("kind", "interval"),
    [(Range, (1.0, 0.0)), (UnitRange, (0.0, 1.1)), (PositiveRange, (0.0, 1.0)), (LevelRange, (1, 4))],
    ids=["upside down", "above one", "not positive", "a single level"],
)
def test_an_interval_outside_its_limits_is_refused(kind, interval):
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(interval)


@pytest.mark.parametrize("kind", [Range, UnitRange])
def test_an_interval_may_be_a_point(kind):
    assert TypeAdapter(kind).validate_python((0.5, 0.5)) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("count", "most", "expected"), [(3, 5, [0, 1, 2]), (9, 3, [0, 4, 8]), (1, 4, [0]), (5, 1, [0])]
)
def test_evenly_spaced_takes_first_last_and_what_lies_evenly_between(count, most, expected):
    assert evenly_spaced(count, most) == expected
