"""Pascal VOC: JPEGImages/*.jpg, Annotations/*.xml with boxes, SegmentationClass/*.png; or each .xml beside its image.

An image without objects is normal. The mask is the one in SegmentationClass, with every value above zero, the white rim
of objects included; without it, the mask is drawn from the boxes. The split of an export is not used, since its
training part holds defects: a new one is drawn.
"""

import xml.etree.ElementTree as ET
from pathlib import Path
from typing import NamedTuple

from diffusionad.data.images import read_mask
from stages.download.layouts.listing import Item, Listing, annotated_folder, by_path, files_below, is_picture
from stages.download.layouts.outlines import Polygon, box
from stages.download.layouts.records import stated_size

MASKS = ("SegmentationClass", "SegmentationObject")


class Annotation(NamedTuple):
    """What one file says."""

    objects: tuple[tuple[str, Polygon], ...] = ()
    """Names and boxes."""
    stated: tuple[int, int] | None = None
    """(height, width) of the photograph, px."""


def find(root: Path, category: str) -> Listing:
    """List the images of a category, or all images for category `all`.

    Raises:
        ValueError: If there is no annotation or no such category, or an annotation cannot be read.
    """
    home = annotated_folder(root, category, ".xml")
    files = files_below(home)
    tables = {path: _read(path) for path in files if path.suffix.lower() == ".xml"}
    masks = {path.relative_to(home).as_posix() for path in files if path.parent.name in MASKS}
    images = [path for path in files if is_picture(path) and path.parent.name not in MASKS]
    items = [_item(home, path, tables, masks) for path in images]
    owners = {_segmented(home, path) for path in images}
    orphans = [name for name in masks if name not in owners and Path(name).parent.name == MASKS[0]]
    orphans += [path.relative_to(home).as_posix() for path in tables]
    return Listing(home, tuple(sorted(items, key=by_path)), {}, tuple(sorted(orphans)), seen=frozenset(masks))


def _item(home: Path, path: Path, tables: dict[Path, Annotation], masks: set[str]) -> Item:
    name, segmented = path.relative_to(home).as_posix(), _segmented(home, path)
    places = (path.with_suffix(".xml"), path.parent.parent / "Annotations" / f"{path.stem}.xml")
    objects, stated = next((tables.pop(place) for place in places if place in tables), Annotation())
    if not objects:
        # Some tools write an empty mask for a normal image; the contract reports one that is not empty.
        marked = segmented in masks and read_mask(home / segmented, None).any()
        return Item(name, None, 0, "good", segmented if marked else None, group=name, stated=stated)
    defect = "+".join(sorted({defect for defect, _ in objects}))
    if segmented in masks:
        return Item(name, None, 1, defect, segmented, group=name, stated=stated)
    mask = f"masks/{path.relative_to(home).with_suffix('').as_posix()}.png"
    outline = tuple(shape for _, shape in objects)
    return Item(name, None, 1, defect, mask, group=name, outline=outline, stated=stated)


def _segmented(home: Path, image: Path) -> str:
    above = image.relative_to(home).parent.parent
    return (above / MASKS[0] / f"{image.stem}.png").as_posix()


def _read(path: Path) -> Annotation:
    try:
        # expat bounds the growth of entities by itself.
        root = ET.parse(path).getroot()  # noqa: S314
        objects = tuple((_name(entry), _box(entry)) for entry in root.iter("object"))
    except (ET.ParseError, ValueError, TypeError, LookupError) as error:  # LookupError: an unknown encoding
        raise ValueError(f"{path}: not an annotation of Pascal VOC: {error}") from None
    return Annotation(objects, stated_size(root.findtext("size/height"), root.findtext("size/width")))


def _name(entry: ET.Element) -> str:
    if not (name := (entry.findtext("name") or "").strip()):
        raise ValueError("an object without a name")
    return name


def _box(entry: ET.Element) -> Polygon:
    """Convert corners, which are counted from one and both inside the box, to a polygon."""
    values = [entry.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
    if None in values:
        raise ValueError("an object without its bndbox of xmin, ymin, xmax and ymax")
    left, top, right, bottom = (float(str(value)) for value in values)
    if not (left <= right and top <= bottom):
        raise ValueError(f"a bndbox from ({left:g}, {top:g}) to ({right:g}, {bottom:g}) marks no area")
    return box(left - 1, top - 1, right - left + 1, bottom - top + 1)
