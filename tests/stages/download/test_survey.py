from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stages.download.layouts.listing import Item, Listing
from stages.download.layouts.outlines import Polygon
from stages.download.survey import lookalikes, remove_rest, survey
from toys.pictures import mark, paint


def item(name, mask=None, outline=()):
    return Item(name, "train", 0, "good", mask, name, outline)


def test_files_are_copied_as_they_are_and_missing_ones_left_to_be_found(tmp_path):
    paint(tmp_path / "from/a.png")
    mark(tmp_path / "from/m/a.png")
    items = (item("a.png", "m/a.png"), item("gone.png"))

    found = survey(Listing(tmp_path / "from", items, {}), tmp_path / "to", 10, 3)

    for name in ("a.png", "m/a.png"):
        assert (tmp_path / "to" / name).read_bytes() == (tmp_path / "from" / name).read_bytes()
    assert found.images["a.png"].fault is None
    assert "no such file" in found.images["gone.png"].fault
    assert found.masks["m/a.png"].area == pytest.approx(100 / 1920)


def test_masks_are_drawn_from_outlines(tmp_path):
    paint(tmp_path / "from/a.png", size=(20, 30))
    items = (item("a.png", "masks/a.png", (Polygon(((2, 3), (6, 3), (6, 8), (2, 8))),)),)

    found = survey(Listing(tmp_path / "from", items, {}), tmp_path / "to", 10, 3)

    mask = np.asarray(Image.open(tmp_path / "to/masks/a.png"))
    assert mask.shape == (20, 30)
    assert (mask == 255).sum() == 4 * 5
    assert found.masks["masks/a.png"].fault is None


def test_a_mask_in_several_files_is_joined(tmp_path):
    paint(tmp_path / "from/a.png")
    for i, box in enumerate([(5, 10), (20, 22)]):
        mark(tmp_path / f"from/gt/{i}.png", box=box, value=7 + i)
    one = Item("a.png", "test", 1, "dent", "masks/a.png", "a", parts=("gt/0.png", "gt/1.png"))

    found = survey(Listing(tmp_path / "from", (one,), {}), tmp_path / "to", 10, 3)

    assert found.masks["masks/a.png"].area == pytest.approx((25 + 4) / 1920)


def test_a_shape_that_cannot_be_drawn_is_a_fault_of_the_mask(tmp_path):
    paint(tmp_path / "a.png", size=(20, 30))
    one = item("a.png", "masks/a.png", (Polygon(((2, 3), (6, 3), (6, 8))),))._replace(stated=(7, 30))

    found = survey(Listing(tmp_path, (one,), {}), tmp_path / "to", 10, 3)

    assert "its annotation states 30 x 7 px, the photograph has 30 x 20 px" in found.masks["masks/a.png"].fault


def test_of_many_megapixels_some_are_looked_at_whatever_their_order(tmp_path):
    items = tuple(item(f"{i}.png") for i in range(9))
    for i, one in enumerate(items):
        paint(tmp_path / one.path, seed=i, size=(100, 100))

    found = survey(Listing(tmp_path, items, {}), tmp_path / "to", 0.045, 3).images
    turned = survey(Listing(tmp_path, items[::-1], {}), tmp_path / "again", 0.045, 3).images

    assert sum(fact.fingerprint is not None for fact in found.values()) == 4
    assert turned == found


def test_near_copies_are_paired_by_path(tmp_path):
    items = tuple(item(f"{i}.png") for i in range(3))
    for one, seed in zip(items, (0, 1, 0), strict=True):
        paint(tmp_path / one.path, seed=seed)

    assert lookalikes(survey(Listing(tmp_path, items, {}), tmp_path / "to", 9, 3).images, 8) == [("0.png", "2.png", 0)]


def test_what_takes_no_part_is_removed(tmp_path):
    for name in ("a/keep.png", "a/drop.png", "b/c/drop.png"):
        paint(tmp_path / name)

    remove_rest(tmp_path, ["a/keep.png", None])

    assert sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*")) == ["a", "a/keep.png"]


def test_a_file_that_may_not_be_read_is_a_fault_of_its_own(tmp_path, monkeypatch):
    """Root may read everything, so the refusal is made at the border to the operating system."""
    items = tuple(item(paint(tmp_path / name, seed=len(name)).name) for name in ("a.png", "bb.png"))
    read = Path.read_bytes

    def refuse(path):
        if path == tmp_path / "a.png":
            raise PermissionError(13, "Permission denied", str(path))
        return read(path)

    monkeypatch.setattr(Path, "read_bytes", refuse)
    found = survey(Listing(tmp_path, items, {}), tmp_path / "to", 9, 3).images

    assert found["a.png"].fault == "may not be read; give yourself the permission"
    assert found["bb.png"].fault is None
