"""COCO-style exports: images and a .json with `images`, `annotations` and `categories`, anywhere below the category.

An image without annotations is normal. Masks are drawn from the polygons or run lengths, or from the box where there is
neither. The split of an export is not used, since its training part holds defects: a new one is drawn.
"""

import json
from pathlib import Path
from typing import Any

from stages.download.layouts.listing import Item, Listing, Polygon, annotated_folder, by_path
from stages.download.layouts.run_lengths import run_outlines


def find(root: Path, category: str) -> Listing:
    """List the images that the annotation files of a category name, or all of them for category `all`.

    Raises:
        ValueError: If there is no annotation file or no such category, or an annotation cannot be read.
    """
    home = annotated_folder(root, category, ".json")
    tables = {path: table for path in sorted(home.rglob("*.json")) if (table := _read(path)) is not None}
    if not tables:
        raise ValueError(f"{home}: expected a .json with the keys images, annotations and categories")
    items = [item for path, table in tables.items() for item in _items(home, path, table)]
    return Listing(home, tuple(sorted(items, key=by_path)), {})


def _read(path: Path) -> dict[str, Any] | None:
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{path}: not valid JSON: {error}") from None
    return table if isinstance(table, dict) and {"images", "annotations"} <= table.keys() else None


def _items(home: Path, path: Path, table: dict[str, Any]) -> list[Item]:
    names = {entry["id"]: str(entry["name"]) for entry in table.get("categories", [])}
    annotations: dict[Any, list[dict[str, Any]]] = {}
    for annotation in table["annotations"]:
        annotations.setdefault(annotation["image_id"], []).append(annotation)
    return [_item(home, path, image, annotations.get(image["id"], []), names) for image in table["images"]]


def _item(
    home: Path, path: Path, image: dict[str, Any], annotations: list[dict[str, Any]], names: dict[Any, str]
) -> Item:
    name = _image_path(home, path, str(image["file_name"]))
    outline = tuple(polygon for annotation in annotations for polygon in _polygons(path, image, annotation))
    defects = sorted({names.get(annotation.get("category_id"), "anomaly") for annotation in annotations})
    return Item(
        path=name,
        split=None,
        label=int(bool(annotations)),
        defect="+".join(defects) or "good",
        mask=f"masks/{Path(name).with_suffix('').as_posix()}.png" if annotations else None,
        group=name,
        outline=outline,
    )


def _image_path(home: Path, path: Path, file_name: str) -> str:
    candidates = (path.parent, path.parent / "images", path.parent.parent / "images", path.parent.parent, home)
    found = next((folder / file_name for folder in candidates if (folder / file_name).is_file()), home / file_name)
    if not found.resolve().is_relative_to(home.resolve()):
        raise ValueError(f"{path}: expected image files below {home}, got {file_name!r}")
    return found.resolve().relative_to(home.resolve()).as_posix()


def _polygons(path: Path, image: dict[str, Any], annotation: dict[str, Any]) -> list[Polygon]:
    try:
        segmentation = annotation.get("segmentation") or []
        if isinstance(segmentation, dict):
            return _runs(image, segmentation)
        if segmentation:
            return [tuple(zip(flat[::2], flat[1::2], strict=True)) for flat in segmentation]
        return [_box(*annotation["bbox"])]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: annotation {annotation.get('id')} cannot be read: {error!r}") from None


def _runs(image: dict[str, Any], segmentation: dict[str, Any]) -> list[Polygon]:
    stated = [image.get("height"), image.get("width")]
    if None not in stated and list(segmentation["size"]) != stated:
        raise ValueError(f"its mask is of {segmentation['size']} pixels, the image of {stated}")
    return run_outlines(segmentation)


def _box(x: float, y: float, width: float, height: float) -> Polygon:
    # A box of width w covers w pixels: its far corner is the centre of the last of them.
    right, bottom = x + width - 1, y + height - 1
    return ((x, y), (right, y), (right, bottom), (x, bottom))
