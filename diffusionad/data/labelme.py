"""Labelme annotations, as BSData has them: images and a .json of the same stem for each that shows a defect.

BSData: Schlagenhauf et al., Data in Brief 2021; data/*.png and label/*.json. CC BY 4.0. Its photographs come from a few
places on one spindle, again and again; a place is one object, named by the file name without the time.
"""

import json
import re
from pathlib import Path
from typing import Any

from diffusionad.data import folder
from diffusionad.data.listing import Item, Listing, Polygon, annotated_folder, by_path, files_below

TIME = re.compile(r"^\d+_\d{12}_")
"""In the name of a BSData image, before the place on the spindle."""


def find(root: Path, category: str) -> Listing:
    """List the images of a category, or of the whole as category `all`; the split is to be drawn by place.

    Those with shapes are anomalous. The layout of MVTec is read too.

    Raises:
        ValueError: If there is no annotation or no such category, or one cannot be read or holds a shape without area.
    """
    if folder.has_layout(root, category):
        return folder.find(root, category, group_of=_place)
    home = annotated_folder(root, category, ".json")
    files = files_below(home)
    shapes = {path.stem: _read(path) for path in files if path.suffix.lower() == ".json"}
    images = [path for path in files if path.suffix.lower() in (".png", ".jpg", ".jpeg", ".bmp")]
    items = [_item(home, path, shapes.pop(path.stem, [])) for path in images]
    return Listing(home, tuple(sorted(items, key=by_path)), {}, tuple(f"{stem}.json" for stem in sorted(shapes)))


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
