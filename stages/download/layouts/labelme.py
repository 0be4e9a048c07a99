"""Labelme annotations, as BSData has them: images, and a .json of the same stem for each one with a defect.

X-AnyLabeling writes the same. BSData: Schlagenhauf et al., Data in Brief 2021; data/*.png and label/*.json. CC BY 4.0.
It shows a few places on one spindle repeatedly; a place is one object, named by the file name without the time.
"""

import base64
import binascii
import re
from pathlib import Path
from typing import Any, NamedTuple

from stages.download.layouts import folder
from stages.download.layouts.listing import Item, Listing, annotated_folder, by_path, files_below, is_picture
from stages.download.layouts.outlines import Line, Polygon, Shape, Stamp, checked, circle
from stages.download.layouts.records import read_json, records, stated_size

TIME = re.compile(r"^\d+_\d{12}_")
"""Part of the name of a BSData image, before the place on the spindle."""
DIAGONAL, LEAST_CORNERS = 2, 3


class Annotation(NamedTuple):
    """What one file says."""

    shapes: tuple[tuple[str, Shape], ...] = ()
    """Labels and shapes."""
    stated: tuple[int, int] | None = None
    """(height, width) of the photograph, px."""


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
    images = [path for path in files if is_picture(path)]
    owned = _owned(images, tables)
    items = [_item(home, path, _read(owned[path]) if path in owned else Annotation()) for path in images]
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


def _read(path: Path) -> Annotation:
    table = read_json(path)
    if not isinstance(table, dict) or "shapes" not in table:
        raise ValueError(f"{path}: not a labelme annotation: expected the key `shapes`, got {str(table)[:60]}")
    shapes = []
    for number, record in enumerate(records(path, table, "shapes"), 1):
        try:
            shapes.append((str(record["label"]), _shape(record)))
        except (ValueError, KeyError, TypeError, OverflowError) as error:
            raise ValueError(f"{path}: shape {number} ({record.get('label')}) cannot be read: {error!r}") from None
    return Annotation(tuple(shapes), stated_size(table.get("imageHeight"), table.get("imageWidth")))


def _shape(record: dict[str, Any]) -> Shape:
    kind = record.get("shape_type") or "polygon"
    if kind in ("point", "points"):
        raise ValueError(f"a {kind} marks no area; draw what it marks as a polygon, a circle or a line")
    if kind in ("line", "linestrip"):
        return Line(checked(record["points"], 2))
    if kind == "circle":
        centre, rim = checked(record["points"], 2)
        return _with_area(circle(centre, rim))
    if kind == "mask":
        ((left, top), *_) = checked(record["points"], 1)
        return Stamp(round(left), round(top), _decoded(record["mask"]))
    if kind == "rectangle" and len(record["points"]) == DIAGONAL:
        (left, top), (right, bottom) = checked(record["points"], DIAGONAL)
        return _with_area(Polygon(((left, top), (right, top), (right, bottom), (left, bottom))))
    if kind in ("polygon", "rectangle", "rotation"):
        return _with_area(Polygon(checked(record["points"], LEAST_CORNERS)))
    raise ValueError(f"expected a polygon, a rectangle, a circle, a line or a mask, got a shape of type {kind!r}")


def _with_area(polygon: Polygon) -> Polygon:
    xs, ys = zip(*polygon.corners, strict=True)
    if min(xs) == max(xs) or min(ys) == max(ys):
        raise ValueError("its corners lie on one line and mark no area")
    return polygon


def _decoded(text: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"its mask is no base64: {error}") from None


def _item(home: Path, path: Path, annotation: Annotation) -> Item:
    name, shapes = path.relative_to(home).as_posix(), annotation.shapes
    return Item(
        path=name,
        split=None,
        label=int(bool(shapes)),
        defect="+".join(sorted({label.lower() for label, _ in shapes})) or "good",
        mask=f"masks/{path.relative_to(home).with_suffix('').as_posix()}.png" if shapes else None,
        group=_place(path.stem),
        outline=tuple(shape for _, shape in shapes),
        stated=annotation.stated,
    )


def _place(stem: str) -> str:
    return TIME.sub("", stem)
