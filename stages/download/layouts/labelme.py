"""Labelme annotations, as BSData has them: images, and a .json of the same stem for each one with a defect.

BSData: Schlagenhauf et al., Data in Brief 2021; data/*.png and label/*.json. CC BY 4.0. It shows a few places on
one spindle repeatedly; a place is one object, named by the file name without the time.
"""

import json
import re
from pathlib import Path
from typing import Any

from stages.download.layouts import folder
from stages.download.layouts.listing import Item, Listing, Polygon, annotated_folder, by_path, files_below

TIME = re.compile(r"^\d+_\d{12}_")
"""Part of the name of a BSData image, before the place on the spindle."""


def find(root: Path, category: str) -> Listing:
    """List the images of a category (all images for `all`); the split is to be drawn by place.

    Images with shapes are anomalous. The layout of MVTec AD is read too.

    Raises:
        ValueError: If there is no annotation or no such category, or an annotation cannot be read or has a shape
            without area.
    """
    if folder.has_layout(root, category):
        return folder.find(root, category, group_of=_place)
    home = annotated_folder(root, category, ".json")
    files = files_below(home)
    tables = [path for path in files if path.suffix.lower() == ".json"]
    images = [path for path in files if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp")]
    owned = _owned(images, tables)
    items = [_item(home, path, _read(owned[path]) if path in owned else []) for path in images]
    orphans = set(tables) - set(owned.values())
    names = tuple(sorted(path.relative_to(home).as_posix() for path in orphans))
    return Listing(home, tuple(sorted(items, key=by_path)), {}, names)


def _owned(images: list[Path], tables: list[Path]) -> dict[Path, Path]:
    """Return the annotation of each image that has one: beside it, otherwise of the same name in another folder."""
    known = set(tables)
    owned = {path: path.with_suffix(".json") for path in images if path.with_suffix(".json") in known}
    namesakes: dict[str, list[Path]] = {}
    for path in images:
        if path not in owned:
            namesakes.setdefault(path.stem, []).append(path)
    for table in sorted(known - set(owned.values())):
        named = namesakes.get(table.stem, [])
        if len(named) > 1:
            raise ValueError(f"{table}: {len(named)} images have its name; put it beside its own")
        if named:
            owned.setdefault(named[0], table)
    return owned


def _read(path: Path) -> list[tuple[str, Polygon]]:
    try:
        shapes = json.loads(path.read_text(encoding="utf-8"))["shapes"]
        return [(str(shape["label"]), _polygon(shape)) for shape in shapes]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a labelme annotation of polygons and rectangles: {error!r}") from None


def _polygon(shape: dict[str, Any]) -> Polygon:
    points = tuple((float(x), float(y)) for x, y in shape["points"])
    if shape.get("shape_type") == "rectangle":
        (left, top), (right, bottom) = points
        return ((left, top), (right, top), (right, bottom), (left, bottom))
    if len(points) < 3:  # noqa: PLR2004  # corners of a triangle
        raise ValueError(f"a shape of {len(points)} points has no area")
    return points


def _item(home: Path, path: Path, shapes: list[tuple[str, Polygon]]) -> Item:
    name = path.relative_to(home).as_posix()
    return Item(
        path=name,
        split=None,
        label=int(bool(shapes)),
        defect="+".join(sorted({label.lower() for label, _ in shapes})) or "good",
        mask=f"masks/{path.relative_to(home).with_suffix('').as_posix()}.png" if shapes else None,
        group=_place(path.stem),
        outline=tuple(polygon for _, polygon in shapes),
    )


def _place(stem: str) -> str:
    return TIME.sub("", stem)
