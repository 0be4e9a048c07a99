"""COCO-style exports: images and a .json with `images`, `annotations` and `categories`, anywhere below the category.

An image without annotations is normal. Masks are drawn from the polygons or run lengths, or from the box where there is
neither. The split of an export is not used, since its training part holds defects: a new one is drawn.
"""

import os
import re
from pathlib import Path, PurePosixPath
from typing import Any, TypeGuard
from urllib.parse import unquote

from stages.download.layouts.listing import Item, Listing, annotated_folder, by_path, files_below, is_picture
from stages.download.layouts.outlines import Polygon, Shape, box, checked
from stages.download.layouts.records import is_name, read_json, records, refuse_leftovers, stated_size
from stages.download.layouts.run_lengths import read_runs
from stages.download.layouts.tables import DRIVE

Id = int | str

UPLOAD = re.compile(r"^[0-9a-f]{8}-")
"""What Label Studio puts before the name of an uploaded file."""


def find(root: Path, category: str) -> Listing:
    """List the images that the annotation files of a category name, or all of them for category `all`.

    Raises:
        ValueError: If there is no annotation file or no such category, an annotation cannot be read, or a record
            matches nothing.
    """
    home = annotated_folder(root, category, ".json")
    files = files_below(home)
    tables = {path: table for path in files if path.suffix.lower() == ".json" and (table := _read(path)) is not None}
    if not tables:
        raise ValueError(f"{home}: expected a .json with the keys images, annotations and categories")
    pictures: dict[str, list[str]] = {}
    for path in files:
        if is_picture(path):
            pictures.setdefault(path.name, []).append(path.relative_to(home).as_posix())
    items = [item for path, table in tables.items() for item in _items(home, path, table, pictures)]
    return Listing(home, tuple(sorted(items, key=by_path)), {})


def _read(path: Path) -> dict[str, Any] | None:
    table = read_json(path)
    return table if isinstance(table, dict) and {"images", "annotations"} <= table.keys() else None


def _items(home: Path, path: Path, table: dict[str, Any], pictures: dict[str, list[str]]) -> list[Item]:
    names = _by_id(path, table, "categories") if table.get("categories") is not None else {}
    images = _by_id(path, table, "images")
    annotations: dict[Id, list[dict[str, Any]]] = {}
    lost = []
    for number, annotation in enumerate(records(path, table, "annotations")):
        image, kind = annotation.get("image_id"), annotation.get("category_id")
        name = f"annotation {annotation.get('id', f'number {number}')}"
        if not _is_id(image) or image not in images:
            lost.append(f"{name} is of image_id {image!r}")
        elif kind is not None and (not _is_id(kind) or (names and kind not in names)):
            lost.append(f"{name} is of category_id {kind!r}")
        else:
            annotations.setdefault(image, []).append(annotation)
    what = "annotations of images or categories that it does not list, whose ids start with"
    first = ", ".join(repr(key) for key in list(images)[:2]) or "none"
    refuse_leftovers(path, f"{what} {first}; text and numbers are different ids", lost)
    return [_item(home, path, image, annotations.get(key, []), names, pictures) for key, image in images.items()]


def _by_id(path: Path, table: dict[str, Any], key: str) -> dict[Id, dict[str, Any]]:
    found: dict[Id, dict[str, Any]] = {}
    for record in records(path, table, key):
        number, name = record.get("id"), record.get("file_name" if key == "images" else "name")
        if not _is_id(number) or not is_name(name):
            raise ValueError(f"{path}: expected an id and a name in each record of `{key}`, got {str(record)[:100]}")
        if number in found:
            raise ValueError(f"{path}: the id {number!r} stands twice in `{key}`")
        found[number] = record
    return found


def _is_id(value: Any) -> TypeGuard[Id]:  # noqa: ANN401  # whatever the file holds
    return isinstance(value, int | str) and not isinstance(value, bool)


def _item(
    home: Path,
    path: Path,
    image: dict[str, Any],
    annotations: list[dict[str, Any]],
    names: dict[Id, dict[str, Any]],
    pictures: dict[str, list[str]],
) -> Item:
    name = _image_path(home, path, image["file_name"], pictures)
    stated = stated_size(image.get("height"), image.get("width"))
    kinds = {annotation.get("category_id") for annotation in annotations}
    defects = {str(names[kind]["name"]) if kind in names else "anomaly" for kind in kinds}
    return Item(
        path=name,
        split=None,
        label=int(bool(annotations)),
        defect="+".join(sorted(defects)) or "good",
        mask=f"masks/{Path(name).with_suffix('').as_posix()}.png" if annotations else None,
        group=name,
        outline=tuple(shape for annotation in annotations for shape in _shapes(path, stated, annotation)),
        stated=stated,
    )


def _image_path(home: Path, path: Path, file_name: str, pictures: dict[str, list[str]]) -> str:
    """Find the file of an image, relative to `home`, under the names that tools give it."""
    plain = file_name if "\\" not in file_name else file_name.replace("\\", "/")
    spellings = dict.fromkeys([file_name, plain, unquote(plain)])
    for name in spellings:
        for folder in _places(home, path):
            found = Path(os.path.normpath(folder / name))
            if found.is_file() and found.is_relative_to(home):
                return found.relative_to(home).as_posix()
    for name in spellings:
        if found_name := _elsewhere(path, file_name, PurePosixPath(name), pictures):
            return found_name
    if not Path(os.path.normpath(home / plain)).is_relative_to(home) or DRIVE.match(plain):
        raise ValueError(f"{path}: expected image files below {home}, got {file_name!r}")
    return plain


def _places(home: Path, path: Path) -> list[Path]:
    """Folders that names of an annotation file may be relative to; CVAT and Datumaro have one for each subset."""
    above, subset = path.parent.parent, path.stem.partition("_")[2]
    subsets = [above / "images" / subset, path.parent / "images" / subset] if subset else []
    places = [path.parent, *subsets, path.parent / "images", above / "images", above, home]
    return [place for place in places if place.is_relative_to(home)]


def _elsewhere(path: Path, file_name: str, name: PurePosixPath, pictures: dict[str, list[str]]) -> str | None:
    """Find a name without a folder, or one of a path on another machine, in whatever folder it is.

    Raises:
        ValueError: If several files have it.
    """
    is_foreign = name.is_absolute() or DRIVE.match(str(name)) or ".." in name.parts
    base = name.name
    if not is_foreign and len(name.parts) > 1 and not UPLOAD.match(base):
        return None
    found = pictures.get(base) or pictures.get(UPLOAD.sub("", base)) or []
    if len(found) > 1:
        raise ValueError(f"{path}: the image {file_name!r} may be {found[0]} or {found[1]}; name the folder too")
    return found[0] if found else None


def _shapes(path: Path, stated: tuple[int, int] | None, annotation: dict[str, Any]) -> list[Shape]:
    try:
        return _drawn(stated, annotation)
    except (ValueError, KeyError, TypeError, IndexError, OverflowError, AttributeError) as error:
        raise ValueError(f"{path}: annotation {annotation.get('id')} cannot be read: {error!r}") from None


def _drawn(stated: tuple[int, int] | None, annotation: dict[str, Any]) -> list[Shape]:
    segmentation = annotation.get("segmentation") or []
    if isinstance(segmentation, dict):
        runs = read_runs(segmentation)
        if stated not in (None, runs.size):
            raise ValueError(f"its mask is of {list(runs.size)} pixels, the image of {list(stated or ())}")
        return [runs]
    if segmentation:
        parts = segmentation if isinstance(segmentation[0], list) else [segmentation]
        return [Polygon(checked(list(zip(flat[::2], flat[1::2], strict=True)), 3)) for flat in parts]
    x, y, width, height = map(float, annotation["bbox"])
    if not (width > 0 and height > 0):
        raise ValueError(f"a box of {width:g} x {height:g} px marks no area")
    return [box(x, y, width, height)]
