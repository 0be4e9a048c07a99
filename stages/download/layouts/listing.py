"""The listing of a data set: what names and tables tell, before any image is read."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

JUNK = frozenset({"thumbs.db", "desktop.ini"})
"""Files that file managers leave behind."""

WHOLE = "all"
"""Name of the category for an export that is not divided into categories."""

Polygon = tuple[tuple[float, float], ...]
"""Corners (x, y) in pixels from the top left."""


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
    outline: tuple[Polygon, ...] = ()
    """Outlines of the defects, if the data set gives them: then the file `mask` is still to be drawn from them."""


class Listing(NamedTuple):
    """One category of a data set."""

    home: Path
    """The folder that holds the category."""
    items: tuple[Item, ...]
    """Sorted by path."""
    left_out: dict[str, int]
    """Number of images left out, by reason."""
    orphans: tuple[str, ...] = ()
    """Masks without an image, relative to `home`."""
    digests: Mapping[str, str] = MappingProxyType({})
    """SHA-256 of images and masks that the data set states, by path."""


def files_below(folder: Path) -> list[Path]:
    """List the files below a folder, sorted; hidden files and those of file managers are skipped.

    Every other file counts, whatever its ending: a stray text file among images is a fault to report, not to hide.
    """
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if not path.name.startswith(".") and path.name.lower() not in JUNK)


def folder_names(folder: Path) -> list[str]:
    """List the names of the folders in a folder, sorted, without hidden ones; none if the folder does not exist."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def category_folder(root: Path, category: str, landmark: str) -> Path:
    """Return `root/category`, or `root` itself if that holds `landmark` and has no folder of the category.

    Raises:
        ValueError: If neither exists; the message names the categories that do.
    """
    if (root / category / landmark).exists():
        return root / category
    if (root / landmark).exists() and not (root / category).exists():
        return root
    known = [name for name in folder_names(root) if (root / name / landmark).exists()]
    hint = f"; it holds {', '.join(known)}" if known else ""
    raise ValueError(f"{root}: no category `{category}` (expected {category}/{landmark}){hint}")


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
    return any(path.suffix.lower() == ending for path in folder.rglob("*") if not path.name.startswith("."))
