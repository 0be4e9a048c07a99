"""What a layout says about a data set before anything is read but names and tables."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

JUNK = frozenset({"thumbs.db", "desktop.ini"})
"""Left by file managers; not part of any data set."""

WHOLE = "all"
"""The one category of an export that is not divided into any."""

Polygon = tuple[tuple[float, float], ...]
"""Corners (x, y) in pixels from the top left."""


class Item(NamedTuple):
    """One image. Paths are relative to `Listing.home`, with forward slashes."""

    path: str
    split: str | None
    """train, val or test as the data set has it; None if it has no split of its own."""
    label: int
    """0 normal, 1 anomalous."""
    defect: str
    """"good" or the name of the defect."""
    mask: str | None
    group: str
    """The physical object; the path itself if the data set does not tell."""
    outline: tuple[Polygon, ...] = ()
    """Where the data set gives outlines: `mask` is then a file that is yet to be drawn from them."""


class Listing(NamedTuple):
    """One category of a data set."""

    home: Path
    """The folder that holds it."""
    items: tuple[Item, ...]
    """Sorted by path."""
    left_out: dict[str, int]
    """Images that take no part: how many, by reason."""
    orphans: tuple[str, ...] = ()
    """Masks without an image, relative to `home`."""
    digests: Mapping[str, str] = MappingProxyType({})
    """SHA-256 by path, of images and masks, as the data set states them."""


def files_below(folder: Path) -> list[Path]:
    """List the files below a folder, sorted; hidden files and the junk of file managers are passed over.

    Every other file counts, whatever its ending: a stray text among images is a fault to report, not to hide.
    """
    found = (path for path in folder.rglob("*") if path.is_file())
    return sorted(path for path in found if not path.name.startswith(".") and path.name.lower() not in JUNK)


def folder_names(folder: Path) -> list[str]:
    """List the folders in a folder, sorted, without hidden ones; none if it does not exist."""
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def category_folder(root: Path, category: str, landmark: str) -> Path:
    """Return `root/category`, or `root` itself if it holds `landmark` and no such folder.

    Raises:
        ValueError: If neither is there; the text names the categories that are.
    """
    if (root / category / landmark).exists():
        return root / category
    if (root / landmark).exists() and not (root / category).exists():
        return root
    known = [name for name in folder_names(root) if (root / name / landmark).exists()]
    hint = f"; it holds {', '.join(known)}" if known else ""
    raise ValueError(f"{root}: no category `{category}` (expected {category}/{landmark}){hint}")


def annotated_folder(root: Path, category: str, ending: str) -> Path:
    """Return `root/category`, or `root` itself for the category `all`, where annotations are files of their own.

    An export has no names for categories; taking it whole under any name would hide a misspelt one.

    Raises:
        ValueError: If there is no such folder, or no annotation below it; the text names the categories that are.
    """
    home = root if category == WHOLE and not (root / category).is_dir() else root / category
    if _holds(home, ending):
        return home
    known = [name for name in folder_names(root) if _holds(root / name, ending)]
    hint = f"; it holds {', '.join([WHOLE, *known])}" if _holds(root, ending) else ""
    raise ValueError(f"{root}: no category `{category}` (expected {ending} annotations below {home}){hint}")


def by_path(item: Item) -> str:
    """Return what items are sorted by."""
    return item.path


def _holds(folder: Path, ending: str) -> bool:
    return any(path.suffix.lower() == ending for path in folder.rglob("*") if not path.name.startswith("."))
