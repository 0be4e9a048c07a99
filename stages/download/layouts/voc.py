"""Pascal VOC: JPEGImages/*.jpg, Annotations/*.xml with boxes, SegmentationClass/*.png; or each .xml beside its image.

An image without objects is normal. The mask is the one in SegmentationClass, with every value above zero, the white rim
of objects included; without it, the mask is drawn from the boxes. The split of an export is not used, since its
training part holds defects: a new one is drawn.
"""

import xml.etree.ElementTree as ET
from pathlib import Path

from diffusionad.data.images import read_mask
from stages.download.layouts.listing import Item, Listing, Polygon, annotated_folder, by_path, files_below

IMAGES, MASKS = (".jpg", ".jpeg", ".png", ".bmp"), ("SegmentationClass", "SegmentationObject")


def find(root: Path, category: str) -> Listing:
    """List the images of a category, or all images for category `all`.

    Raises:
        ValueError: If there is no annotation or no such category, or an annotation cannot be read.
    """
    home = annotated_folder(root, category, ".xml")
    files = files_below(home)
    tables = {path: _read(path) for path in files if path.suffix.lower() == ".xml"}
    masks = {path.relative_to(home).as_posix() for path in files if path.parent.name in MASKS}
    images = [path for path in files if path.suffix.lower() in IMAGES and path.parent.name not in MASKS]
    items = [_item(home, path, tables, masks) for path in images]
    owners = {_segmented(home, path) for path in images}
    orphans = [name for name in masks if name not in owners and Path(name).parent.name == MASKS[0]]
    orphans += [path.relative_to(home).as_posix() for path in tables]
    return Listing(home, tuple(sorted(items, key=by_path)), {}, tuple(sorted(orphans)))


def _item(home: Path, path: Path, tables: dict[Path, list[tuple[str, Polygon]]], masks: set[str]) -> Item:
    name, segmented = path.relative_to(home).as_posix(), _segmented(home, path)
    places = (path.with_suffix(".xml"), path.parent.parent / "Annotations" / f"{path.stem}.xml")
    objects = next((tables.pop(place) for place in places if place in tables), [])
    if not objects:
        # Some tools write an empty mask for a normal image; the contract reports one that is not empty.
        marked = segmented in masks and read_mask(home / segmented, None).any()
        return Item(name, None, 0, "good", segmented if marked else None, group=name)
    defect = "+".join(sorted({defect for defect, _ in objects}))
    if segmented in masks:
        return Item(name, None, 1, defect, segmented, group=name)
    mask = f"masks/{path.relative_to(home).with_suffix('').as_posix()}.png"
    return Item(name, None, 1, defect, mask, group=name, outline=tuple(box for _, box in objects))


def _segmented(home: Path, image: Path) -> str:
    above = image.relative_to(home).parent.parent
    return (above / MASKS[0] / f"{image.stem}.png").as_posix()


def _read(path: Path) -> list[tuple[str, Polygon]]:
    try:
        # expat bounds the growth of entities by itself.
        objects = ET.parse(path).getroot().iter("object")  # noqa: S314
        return [(str(entry.findtext("name")), _box(entry)) for entry in objects]
    except (ET.ParseError, ValueError, TypeError) as error:
        raise ValueError(f"{path}: not an annotation of Pascal VOC: {error}") from None


def _box(entry: ET.Element) -> Polygon:
    """Convert corners, which are counted from one and both inside the box, to a polygon."""
    values = [entry.findtext(f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax")]
    if None in values:
        raise ValueError("an object without its bndbox of xmin, ymin, xmax and ymax")
    left, top, right, bottom = (float(str(value)) - 1 for value in values)
    return ((left, top), (right, top), (right, bottom), (left, bottom))
