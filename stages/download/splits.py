"""Split images into training, validation and test where the data set does not: by object, seeded and stable.

A unit is a set of images that must share a split: the photographs of one object, and exact and near copies of a file.
Units are ranked by a hash of the seed and their content, so neither the order of files on a disk nor their names nor
images added later change the split of the others.
"""

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence

from stages.download.layouts.listing import Item

LEFT_OUT = "anomalous, but its object is among the training images"


def join_units(items: Sequence[Item], digests: Sequence[str], near: Iterable[tuple[int, int]]) -> list[str]:
    """Name the unit of each item.

    Args:
        items: The images.
        digests: SHA-256 of each image.
        near: Pairs of indices of images that show the same picture.

    Returns:
        The name of each item's unit: the smallest digest in it.
    """
    parent = list(range(len(items)))

    def root(i: int) -> int:
        while parent[i] != i:
            parent[i] = parent[parent[i]]
            i = parent[i]
        return i

    first: dict[tuple[str, str], int] = {}
    for i, (item, digest) in enumerate(zip(items, digests, strict=True)):
        for key in (("group", item.group), ("digest", digest)):
            parent[root(i)] = root(first.setdefault(key, i))
    for i, j in near:
        parent[root(i)] = root(j)
    names: dict[int, str] = {}
    for i, digest in enumerate(digests):
        names[root(i)] = min(names.get(root(i), digest), digest)
    return [names[root(i)] for i in range(len(items))]


def draw_splits(
    items: Sequence[Item], units: Sequence[str], *, seed: int, val_fraction: float, test_fraction: float
) -> tuple[list[Item], dict[str, int]]:
    """Assign a split to every item.

    Of the items without a split, the anomalous ones go to test, as do whole units of normal ones up to `test_fraction`
    of the normal images. Units that hold both kinds are the first to go to test; the anomalous images of one that stays
    in training are left out. If no item is for validation, whole units up to `val_fraction` of the normal training
    images are moved there.

    Args:
        items: The images.
        units: Name of each item's unit (`join_units`).
        seed: Seed of the ranking, at least 0.
        val_fraction: Share of the normal training images, in [0, 1).
        test_fraction: Share of the normal images without a split, in [0, 1).

    Returns:
        The items with their splits, in the order given, and the number of items left out by reason.
    """
    pool = [i for i, item in enumerate(items) if item.split is None]
    test = _take(items, units, pool, seed, test_fraction)
    normal_units = {units[i] for i in pool if items[i].label == 0}
    kept: list[tuple[Item, str]] = []
    left_out = 0
    for item, unit in zip(items, units, strict=True):
        if item.split is not None:
            kept.append((item, unit))
        elif unit in test or unit not in normal_units:
            kept.append((item._replace(split="test"), unit))
        elif item.label == 0:
            kept.append((item._replace(split="train"), unit))
        else:
            left_out += 1
    return _draw_validation(kept, seed, val_fraction), {LEFT_OUT: left_out} if left_out else {}


def _draw_validation(kept: Sequence[tuple[Item, str]], seed: int, fraction: float) -> list[Item]:
    items, units = [item for item, _ in kept], [unit for _, unit in kept]
    if any(item.split == "val" for item in items):
        return items
    pool = [i for i, item in enumerate(items) if item.split == "train" and item.label == 0]
    val = _take(items, units, pool, seed, fraction)
    chosen = {i for i in pool if units[i] in val}
    return [item._replace(split="val") if i in chosen else item for i, item in enumerate(items)]


def _take(items: Sequence[Item], units: Sequence[str], pool: Sequence[int], seed: int, fraction: float) -> set[str]:
    """Choose units with at most `fraction` of the normal images of `pool`; at least one unit if it is above 0."""
    normal: dict[str, int] = defaultdict(int)
    mixed: set[str] = set()
    for i in pool:
        normal[units[i]] += items[i].label == 0
        if items[i].label:
            mixed.add(units[i])
    candidates = [unit for unit, count in normal.items() if count]
    candidates.sort(key=lambda unit: (unit not in mixed, _rank(seed, unit)))
    # Without the small term, 0.29 * 100 would be rounded down to 28.
    target = math.floor(sum(normal.values()) * fraction + 1e-9)
    chosen: set[str] = set()
    for unit in candidates:
        if normal[unit] <= target:
            chosen.add(unit)
            target -= normal[unit]
    if not chosen and fraction > 0 and len(candidates) > 1:
        chosen.add(min(candidates, key=lambda unit: normal[unit]))
    return chosen


def _rank(seed: int, unit: str) -> str:
    return hashlib.sha256(f"{seed}:{unit}".encode()).hexdigest()
