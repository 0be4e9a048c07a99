import pytest

from stages.foreground_contract import MAX_NAMED, flags, told

LIKE = {"a.png": 0.30, "b.png": 0.31, "c.png": 0.29}


def test_masks_that_are_alike_raise_no_flag():
    assert flags(LIKE, set(), 0.5) == []


@pytest.mark.parametrize("area", [0.1, 0.5])
def test_a_mask_far_from_the_median_is_named_with_both_areas(area):
    assert flags({**LIKE, "d.png": area}, set(), 0.5) == [
        f"d.png: the object covers {area:.1%} of the image, the median is {(0.295 if area == 0.1 else 0.305):.1%}"
    ]


def test_a_full_mask_is_named():
    assert flags({**LIKE, "d.png": 1.0}, set(), 99) == ["d.png: the object is the whole image"]


def test_an_image_taken_whole_is_named_and_moves_no_median():
    areas = {**LIKE, **{f"{i}.png": 1.0 for i in range(9)}}

    lines = flags(areas, {f"{i}.png" for i in range(9)}, 0.5)

    assert lines == [f"{i}.png: no credible object; the whole image is taken" for i in range(9)]


def test_where_every_image_is_taken_whole_all_are_named():
    assert len(flags({"a.png": 1.0, "b.png": 1.0}, {"a.png", "b.png"}, 0.5)) == 2


@pytest.mark.parametrize(("count", "last"), [(MAX_NAMED, "x"), (MAX_NAMED + 3, "... and 3 more")])
def test_a_long_list_is_cut_and_counted(count, last):
    assert told(["x"] * count)[-1] == last
