import pandas as pd
import pytest

from stages.download.evidence import collect
from stages.download.facts import ImageFacts, MaskFacts
from stages.download.layouts.listing import Item
from stages.download.layouts.outlines import Polygon

FACT = ImageFacts("a" * 64, 40, 48, "L", 0.5, "0" * 64)
MASK = MaskFacts("m" * 64, 40, 48, 0.1)


def evidence(items, facts=None, masks=None, digests=(), lookalikes=(), orphans=(), accepted=None):
    facts = facts or {item.path: FACT._replace(sha256=f"{i:064d}") for i, item in enumerate(items)}
    masks = masks or {item.mask: MASK for item in items if item.mask}
    return collect("mine/nut", items, facts, masks, dict(digests), orphans, dict(lookalikes), accepted)


def good(name, split="train", group=None):
    return Item(name, split, 0, "good", None, group or name)


def bad(name="bad.png", mask="bad_mask.png", label=1, group=None):
    return Item(name, "test", label, "crack" if label else "good", mask, group or name)


def column(found, name):
    return dict(zip(found.images["path"], found.images[name], strict=True))


@pytest.mark.parametrize(
    ("item", "mask", "trouble"),
    [
        (bad(), MASK, None),
        (bad(), MASK._replace(height=10), "bad_mask.png: 48 x 10 px for an image of 48 x 40 px"),
        (bad(), MASK._replace(area=0), "bad_mask.png: marks nothing"),
        (bad(), MASK._replace(area=1), "bad_mask.png: marks everything"),
        (bad(), MaskFacts(fault="not an image"), "bad_mask.png: not an image"),
        (bad(), MASK._replace(sha256="x"), f"bad_mask.png: its SHA-256 is not the stated {'m' * 64}"),
        (bad(label=0), MASK, "bad_mask.png, a mask for a normal image"),
        (bad(mask=None), MASK, "no mask, though other anomalous images have one"),
    ],
)
def test_what_is_wrong_with_a_mask_is_said(item, mask, trouble):
    items = [item, bad("other.png", "other_mask.png")]
    masks = {"bad_mask.png": mask, "other_mask.png": MASK}

    found = evidence(items, masks=masks, digests={"bad_mask.png": MASK.sha256})

    assert column(found, "mask_trouble") == {"bad.png": trouble, "other.png": None}


def test_a_data_set_without_any_mask_misses_none():
    assert column(evidence([bad(mask=None)]), "mask_trouble") == {"bad.png": None}


def test_the_same_bytes_are_told_as_a_twin_in_another_split_and_as_a_copy_in_one():
    items = [good("a"), good("b"), good("c", "test")]
    facts = {item.path: FACT for item in items}

    found = evidence(items, facts)

    assert column(found, "twin") == {"a": "c in test", "b": "c in test", "c": "a in train"}
    assert column(found, "copy") == {"a": None, "b": "a", "c": None}


def test_unreadable_files_are_no_copies_of_each_other():
    items = [good("a"), good("b", "test")]

    found = evidence(items, {item.path: ImageFacts(fault="empty") for item in items})

    assert column(found, "twin") == {"a": None, "b": None}


def test_one_object_in_two_splits_is_told_by_its_label():
    items = [good("a", group="tile"), good("b", "test", group="tile"), bad("c", None, group="tile")]

    found = evidence(items)

    assert column(found, "object_elsewhere") == {"a": "b in test", "b": "a in train", "c": None}
    assert column(found, "object_in_training") == {"a": None, "b": None, "c": "a in train"}


def test_names_that_differ_in_their_ending_alone_are_told():
    assert column(evidence([good("x/a.png"), good("x/a.jpg")]), "namesake") == {"x/a.png": None, "x/a.jpg": "x/a.png"}


def test_figures_count_by_split_and_label():
    found = evidence([good("a"), good("b", "val"), good("c", "test"), bad()]).figures.iloc[0]

    assert list(found[["train_normal", "val_normal", "test_normal", "test_anomalous"]]) == [1, 1, 1, 1]
    assert found["anomalous_share"] == 0.5


def test_drift_is_the_change_from_the_data_accepted_last():
    accepted = pd.DataFrame({"label": [0], "brightness": [0.2], "width": [24], "height": [20]})

    found = evidence([good("a")], accepted=accepted).figures.iloc[0]

    assert found["brightness_drift"] == pytest.approx(0.3)
    assert found["size_drift"] == pytest.approx(1.0)


def test_without_accepted_data_nothing_drifts():
    found = evidence([good("a")]).figures.iloc[0]

    assert found["brightness_drift"] == found["size_drift"] == 0


def figures(masks):
    items = [bad(f"{i}.png", f"{i}_mask.png") for i in range(len(masks))]
    facts = {f"{i}_mask.png": mask for i, mask in enumerate(masks)}
    return evidence(items, masks=facts).figures.iloc[0]


def test_the_median_mask_tells_whether_masks_are_inverted():
    found = figures([MASK._replace(sha256=f"{i}", area=area) for i, area in enumerate((0.96, 0.97, 0.02))])

    assert found["median_mask_area"] == 0.96


def test_masks_that_are_one_and_the_same_are_counted_if_there_are_a_few():
    assert figures([MASK, MASK, MASK._replace(sha256="n" * 64)])["same_masks"] == pytest.approx(2 / 3)
    assert pd.isna(figures([MASK, MASK])["same_masks"])
    assert pd.isna(evidence([good("a.png")]).figures.iloc[0]["median_mask_area"])


def test_the_size_that_is_stated_is_held_against_the_photograph():
    """An image without shapes is only compared; a mask of one with shapes is scaled with it, which is told."""
    shape = (Polygon(((1, 1), (9, 1), (9, 9))),)
    items = [
        good("same")._replace(stated=(40, 48)),
        good("other")._replace(stated=(40, 50)),
        bad("scaled")._replace(stated=(80, 96), outline=shape),
    ]

    found = evidence(items)

    assert [bool(told) for told in column(found, "stated_size").values()] == [False, True, False]
    assert column(found, "scaled")["scaled"] == "scaled from 96 x 80 to 48 x 40 px"
