import pytest

from stages.download.layouts.names import defect_of, split_of, without_affix


@pytest.mark.parametrize("name", ["good", "Good", "OK", "ok", "Normal", "pass", "i.O.", "IO"])
def test_a_word_for_normal_is_good(name):
    assert defect_of(name) == "good"


@pytest.mark.parametrize("name", ["NG", "bad", "defect", "n.i.O.", "scratch", "okra"])
def test_any_other_word_is_the_name_of_a_defect(name):
    assert defect_of(name) == name


@pytest.mark.parametrize(
    ("name", "split"),
    [("Train", "train"), ("Test", "test"), ("Val", "val"), ("valid", "val"), ("Validation", "val"), ("tests", None)],
)
def test_splits_are_known_in_any_case(name, split):
    assert split_of(name) == split


@pytest.mark.parametrize(
    "mask",
    ["mask_000", "000-mask", "000_segmentation", "000_mask", "000_gt", "000_label", "000", "MASK-000"],
)
def test_a_mask_is_named_after_its_image(mask):
    assert without_affix(mask) == "000"


def test_a_word_within_a_name_stays():
    assert without_affix("unmasked_000") == "unmasked_000"
