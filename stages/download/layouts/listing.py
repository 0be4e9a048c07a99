"""The listing of a data set: what names and tables tell, before any image is read."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from stages.common.folders import is_junk, walk
from stages.download.layouts.outlines import Shape

PICTURES = frozenset(
    {".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm", ".pnm"}
)
"""Endings of the formats that are read, in small letters."""

WHOLE = "all"
"""Name of the category for an export that is not divided into categories."""


class Item(NamedTuple):
    """One image. Paths are relative to `Listing.home`, with forward slashes."""

    path: str
    split: str | None
    """train, val or test as in the data set; None if the split is to be drawn."""
    label: int
    """0 normal, 1 anomalous."""
    defect: str
    """"good" or the name of the defect."""
    mask: str | None
    """Path of the mask; None if there is none."""
    group: str
    """The physical object; the path of the image if the data set does not tell."""
    outline: tuple[Shape, ...] = ()
    """Shapes of the defects, if the data set gives them: then the file `mask` is still to be drawn from them."""
    parts: tuple[str, ...] = ()
    """Masks that the file `mask` is still to be joined from, if the data set has several for an image."""
    stated: tuple[int, int] | None = None
    """(height, width) of the photograph in pixels, if the data set states it; `outline` is in this frame."""


class Listing(NamedTuple):
    """One category of a data set."""

    home: Path
    """The folder that holds the category."""
    items: tuple[Item, ...]
    """Sorted by path."""
    left_out: dict[str, tuple[str, ...]]
    """Paths of the images left out, by reason."""
    orphans: tuple[str, ...] = ()
    """Masks without an image, relative to `home`."""
    digests: Mapping[str, str] = MappingProxyType({})
    """SHA-256 of images and masks that the data set states, by path."""
    seen: frozenset[str] = frozenset()
    """Pictures that are no photographs of the category: masks that may be unused, images of other categories."""


def is_picture(path: Path) -> bool:
    """Whether the ending is that of a format that is read."""
    return path.suffix.lower() in PICTURES


def files_below(folder: Path) -> list[Path]:
    """List the files below a folder, sorted; what is junk by any part of its path is skipped.

    Links to folders are followed. Every other file counts, whatever its ending: a stray text file among images is a
    fault to report, not to hide; so is a link that leads nowhere.
    """
    return sorted(path for path, junk in walk(folder) if not junk)


def folder_names(folder: Path) -> list[str]:
    """List the names of the folders in a folder, sorted, without junk; none if the folder does not exist."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not is_junk(path.name))


def category_folder(root: Path, category: str, landmark: str) -> Path:
    """Return `root/category`, or `root` itself if that holds the folder `landmark` and has no folder of the category.

    Args:
        root: The folder of the data set.
        category: Name of the category.
        landmark: Name of a folder that each category has, in any case.

    Raises:
        ValueError: If neither exists; the message names the categories that do.
    """
    if _has(root / category, landmark):
        return root / category
    if _has(root, landmark) and not (root / category).exists():
        return root
    known = [name for name in folder_names(root) if _has(root / name, landmark)]
    hint = f"; it holds {', '.join(known)}" if known else ""
    raise ValueError(f"{root}: no category `{category}` (expected {category}/{landmark}){hint}")


def _has(folder: Path, landmark: str) -> bool:
    return any(name.lower() == landmark for name in folder_names(folder))


def annotated_folder(root: Path, category: str, ending: str) -> Path:
    """Return `root/category`, or `root` itself for the category `all`, in layouts with separate annotation files.

    An export need not name categories; accepting all of it under any name would hide a misspelt one.

    Raises:
        ValueError: If there is no such folder, or no annotation below it; the message names the categories that exist.
    """
    home = root if category == WHOLE and not (root / category).is_dir() else root / category
    if _holds(home, ending):
        return home
    known = [name for name in folder_names(root) if _holds(root / name, ending)]
    hint = f"; it holds {', '.join([WHOLE, *known])}" if _holds(root, ending) else ""
    raise ValueError(f"{root}: no category `{category}` (expected {ending} annotations below {home}){hint}")


def by_path(item: Item) -> str:
    """Return the key that items are sorted by: the path."""
    return item.path


def _holds(folder: Path, ending: str) -> bool:
    return any(path.suffix.lower() == ending for path, junk in walk(folder) if not junk)
