"""Real photographs, where a mirror is at hand: the counts are those that the packs' authors wrote down."""

import os
from collections import Counter
from pathlib import Path

import pytest

from stages.download.facts import image_facts, mask_facts, pixel_facts
from stages.download.layouts import choice as layouts
from stages.download.watch.places import package_folder

MIRROR = os.environ.get("DATA_MIRROR")
PACKS = [
    ("magnetic_tile", "magnetic_tile", "magnetic_tile", {("train", 0): 200, ("test", 0): 60, ("test", 1): 140}),
    ("ksdd", "ksdd", "commutator", {("train", 0): 154, ("test", 0): 48, ("test", 1): 29}),
    ("labelme", "bsdata", "ball_screw", {("train", 0): 200, ("test", 0): 60, ("test", 1): 80}),
    ("folder", "hazelnut_toy", "hazelnut_toy", {("train", 0): 28, ("test", 0): 6, ("test", 1): 17}),
    ("visa", "aws_cookie_visa_layout", "cookie", {("train", 0): 31, ("test", 0): 14, ("test", 1): 32}),
    ("dagm", "dagm_class1_native", "Class1", {("train", 0): 24, ("test", 0): 16, ("test", 1): 8}),
    ("dtd", "textures_dtd_layout", "textures", {("train", 0): 115}),
]


@pytest.mark.skipif(MIRROR is None, reason="DATA_MIRROR names no mirror")
@pytest.mark.parametrize(("layout", "pack", "category", "counts"), PACKS)
def test_a_pack_is_listed_whole_with_its_checksums(layout, pack, category, counts):
    listing = layouts.find(layout, Path(MIRROR, pack), category)

    assert Counter((item.split, item.label) for item in listing.items) == counts
    assert listing.orphans == ()
    assert all(item.path in listing.digests for item in listing.items)


@pytest.mark.skipif(MIRROR is None, reason="DATA_MIRROR names no mirror")
@pytest.mark.parametrize(("layout", "pack", "category"), [row[:3] for row in PACKS])
def test_photographs_of_a_pack_are_what_their_checksums_say(layout, pack, category):
    listing = layouts.find(layout, Path(MIRROR, pack), category)
    chosen = listing.items[:: max(1, len(listing.items) // 12)]

    for item in chosen:
        data = (listing.home / item.path).read_bytes()
        facts = pixel_facts(image_facts(data), data)
        assert facts.fault is None
        assert facts.sha256 == listing.digests[item.path]
        if item.mask:
            mask = mask_facts((listing.home / item.mask).read_bytes())
            assert (mask.height, mask.width) == (facts.height, facts.width)
            assert 0 < mask.area < 1


def test_the_solar_cells_are_listed_as_their_authors_count_them():
    """ELPV comes with the installation."""
    found = {kind: layouts.find("elpv", package_folder("elpv-dataset"), kind) for kind in ("mono", "poly")}

    assert {k: Counter(item.label for item in v.items) for k, v in found.items()} == {
        "mono": {0: 588, 1: 313},
        "poly": {0: 920, 1: 402},
    }
    assert {k: sum(map(len, v.left_out.values())) for k, v in found.items()} == {"mono": 173, "poly": 228}
