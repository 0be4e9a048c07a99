"""Training, validation and test images, where a data set does not say: drawn by object, seeded, stable.

A unit is what must lie on one side: the photographs of one object, exact and near copies of a file. Units are ranked by
a hash of the seed and of their content, so the order of files on a disk, their names, and images added later do not
shuffle the rest.
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
        digests: SHA-256 of each.
        near: Pairs of indices that show the same picture.

    Returns:
        For each item the smallest digest in its unit.
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
    """Give every item a split.

    Items without one: anomalous ones go to test, and of the normal ones whole units up to `test_fraction` of the
    images. Units that hold both kinds go to test first; if one stays in training, its anomalous images are left out.
    If no item is for validation, whole units up to `val_fraction` of the normal training images become so.

    Args:
        items: The images.
        units: Name of the unit of each (`join_units`).
        seed: Another seed, another split.
        val_fraction: Share in [0, 1) of the normal training images.
        test_fraction: Share in [0, 1) of the normal images without a split.

    Returns:
        The items with their splits, in their order, and how many were left out, by reason.
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
    """Choose units that hold `fraction` of the normal images of `pool`, never more, but at least one unit."""
    normal: dict[str, int] = defaultdict(int)
    mixed: set[str] = set()
    for i in pool:
        normal[units[i]] += items[i].label == 0
        if items[i].label:
            mixed.add(units[i])
    candidates = [unit for unit, count in normal.items() if count]
    candidates.sort(key=lambda unit: (unit not in mixed, _rank(seed, unit)))
    # The small term keeps 0.29 * 100 from being 28.
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
