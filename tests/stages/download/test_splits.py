import hashlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stages.download.layouts.listing import Item
from stages.download.splits import LEFT_OUT, draw_splits, join_units

FRACTIONS = {"val_fraction": 0.1, "test_fraction": 0.25}


def item(name, label=0, group=None, split=None):
    return Item(name, split, label, "crack" if label else "good", None, group or name)


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


def split(items, seed=0, near=(), digests=None, **fractions):
    digests = digests or [digest(i.path) for i in items]
    return draw_splits(items, join_units(items, digests, near), seed=seed, **(FRACTIONS | fractions))


def splits_of(items, **options):
    return {i.path: i.split for i in split(items, **options)[0]}


def names(found, wanted):
    return {path for path, split in found.items() if split == wanted}


def test_fractions_are_met_exactly_where_every_image_stands_alone():
    found = splits_of([item(f"n{i}") for i in range(588)], val_fraction=0.1, test_fraction=0.27)

    assert [len(names(found, s)) for s in ("train", "val", "test")] == [387, 43, 158]


def test_a_fraction_that_floats_cannot_hold_is_still_met():
    assert 100 * 0.29 < 29

    assert len(names(splits_of([item(f"n{i}") for i in range(100)], test_fraction=0.29), "test")) == 29


def test_anomalous_images_are_tested():
    assert splits_of([*(item(f"n{i}") for i in range(8)), item("bad", label=1)])["bad"] == "test"


def test_the_split_does_not_depend_on_the_order_or_the_names():
    items = [item(f"n{i}") for i in range(40)]
    renamed = [i._replace(path=f"other/{i.path}", group=f"other/{i.path}") for i in items]

    found = splits_of(items)

    assert splits_of(items[::-1]) == found
    assert list(splits_of(renamed, digests=[digest(i.path) for i in items]).values()) == list(found.values())


def test_another_seed_is_another_split():
    items = [item(f"n{i}") for i in range(40)]

    assert splits_of(items, seed=0) != splits_of(items, seed=1)


def test_images_added_later_do_not_shuffle_the_rest():
    before = splits_of([item(f"n{i}") for i in range(100)])
    after = splits_of([item(f"n{i}") for i in range(104)])

    assert sum(after[path] != split for path, split in before.items()) <= 8


def test_exact_copies_are_on_one_side():
    items = [item(f"n{i}") for i in range(40)]
    digests = [digest(str(i // 2)) for i in range(40)]

    found = splits_of(items, digests=digests)

    assert all(found[f"n{i}"] == found[f"n{i + 1}"] for i in range(0, 40, 2))


def test_copies_tie_their_objects_together():
    """`a` is a copy of `b`, and `c` shows the object of `b`."""
    items = [item(f"n{i}") for i in range(40)] + [item("a"), item("b", group="tile"), item("c", group="tile")]

    for seed in range(20):
        digests = [digest(str(i)) for i in range(40)] + ["f" * 64, "f" * 64, "0" * 64]
        found = splits_of(items, digests=digests, seed=seed)
        assert found["a"] == found["b"] == found["c"]


def test_near_copies_are_on_one_side_also_over_a_third():
    found = splits_of([item(f"n{i}") for i in range(40)], near=[(0, 1), (1, 2)])

    assert found["n0"] == found["n1"] == found["n2"]


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), min_size=2, max_size=60), st.integers(0, 99))
@settings(max_examples=100)
def test_a_group_is_never_on_two_sides(pairs, seed):
    items = [item(f"n{i}", label=int(bad), group=f"g{g}") for i, (g, bad) in enumerate(pairs)]

    kept, left_out = split(items, seed=seed)

    sides = {}
    for i in kept:
        sides.setdefault(i.group, set()).add(i.split)
    assert all(len(side) == 1 for side in sides.values())
    assert len(kept) + sum(left_out.values()) == len(items)
    assert all(i.label == 0 for i in kept if i.split != "test")


def test_objects_with_a_defect_are_tested_first_so_that_none_is_lost():
    items = [item(f"n{i}", group=f"g{i}") for i in range(8)] + [item("bad", label=1, group="g3")]

    kept, left_out = split(items)

    assert {i.split for i in kept if i.group == "g3"} == {"test"}
    assert left_out == {}


def test_defects_of_objects_that_are_trained_on_are_left_out_and_counted():
    items = [item(f"{kind}{i}", label=int(kind == "b"), group=f"g{i}") for i in range(8) for kind in "nb"]

    kept, left_out = split(items)

    assert sum(i.label for i in kept) == 2
    assert left_out == {LEFT_OUT: 6}


def test_a_split_of_its_own_is_kept_and_validation_drawn_from_training_alone():
    items = [item(f"a{i}", split="train") for i in range(20)] + [item(f"t{i}", split="test") for i in range(5)]

    found = splits_of(items)

    assert len(names(found, "val")) == 2
    assert names(found, "test") == {f"t{i}" for i in range(5)}


def test_validation_images_of_its_own_are_kept():
    items = [item("a", split="train"), item("b", split="train"), item("v", split="val")]

    assert names(splits_of(items), "val") == {"v"}


def test_at_least_one_group_is_held_out_however_large():
    items = [item(f"n{g}{i}", group=f"g{g}") for g in range(3) for i in range(6)]

    found = splits_of(items, test_fraction=0.1)

    assert len(names(found, "test")) == 6
    assert len(names(found, "val")) == 6


@pytest.mark.parametrize("fraction", ["val_fraction", "test_fraction"])
def test_a_fraction_of_nothing_holds_nothing_out(fraction):
    found = splits_of([item(f"n{i}") for i in range(20)], **{fraction: 0.0})

    assert not names(found, fraction.removesuffix("_fraction"))
