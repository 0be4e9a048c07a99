"""Choose the module that reads a layout by its name in params.yaml, and step through wrapping folders."""

from collections.abc import Callable
from pathlib import Path

from stages.common.dataset import Layout
from stages.download.layouts import (
    anomalib_folder,
    coco,
    dagm,
    dtd,
    elpv,
    folder,
    ksdd,
    labelme,
    magnetic_tile,
    table,
    visa,
    voc,
)
from stages.download.layouts.listing import Listing, folder_names

FINDERS: dict[Layout, Callable[[Path, str], Listing]] = {
    "anomalib_folder": anomalib_folder.find,
    "coco": coco.find,
    "csv": table.find,
    "dagm": dagm.find,
    "dtd": dtd.find,
    "elpv": elpv.find,
    "folder": folder.find,
    "ksdd": ksdd.find,
    "labelme": labelme.find,
    "magnetic_tile": magnetic_tile.find,
    "visa": visa.find,
    "voc": voc.find,
}

MAX_WRAPPERS = 2
"""Largest number of wrapping folders: archives put a data set into one, or into two."""

CATEGORY_MARKS = ("train", "Train", "good", "normal")
"""A folder that holds one of these is a category itself: stepping into it would accept a misspelt name."""

CHECKSUMS = "MANIFEST.sha256"
"""File at the root of a data set with lines `digest  path`, as sha256sum writes them."""


def find(layout: Layout, root: Path, category: str) -> Listing:
    """List the images of a category of a data set, as downloaded.

    Args:
        layout: How the data set is laid out.
        root: The folder of the data set; folders that hold only one folder are stepped through.
        category: The name of the category in the data set.

    Raises:
        ValueError: If `root` does not hold the category in this layout, or the category has no image.
    """
    refusal: ValueError | None = None
    for depth in range(MAX_WRAPPERS + 1):
        if depth and any((root / name).is_dir() for name in CATEGORY_MARKS):
            break
        try:
            listing = FINDERS[layout](root, category)
        except ValueError as error:
            refusal = refusal or error
        else:
            if not listing.items:
                raise ValueError(f"{listing.home}: no image of category `{category}`")
            return listing._replace(digests={**_checksums(root, listing.home), **listing.digests})
        if len(inner := folder_names(root)) != 1:
            break
        root /= inner[0]
    raise refusal or ValueError(f"{root}: no category `{category}`")


def _checksums(root: Path, home: Path) -> dict[str, str]:
    file = root / CHECKSUMS
    if not file.is_file():
        return {}
    lines = (line.split(maxsplit=1) for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
    digests = {root / path.lstrip("*"): digest.lower() for digest, path in lines}
    return {p.relative_to(home).as_posix(): digest for p, digest in digests.items() if p.is_relative_to(home)}
