"""The name of a layout in params.yaml -> the module that reads it."""

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
"""Archives put a data set into a folder, or into two."""

OF_A_CATEGORY = ("train", "Train", "good", "normal")
"""A folder with one of these is a category: stepping into it would take a misspelt name for its own."""

CHECKSUMS = "MANIFEST.sha256"
"""Lines `digest  path`, as sha256sum writes them, at the root of a data set."""


def find(layout: Layout, root: Path, category: str) -> Listing:
    """List a category of a data set, as downloaded.

    Args:
        layout: How the data set is laid out.
        root: Its folder; folders that hold nothing but one folder are stepped through.
        category: Its name in the data set.

    Raises:
        ValueError: If `root` does not hold the category in this layout, or holds no image of it.
    """
    refusal: ValueError | None = None
    for depth in range(MAX_WRAPPERS + 1):
        if depth and any((root / name).is_dir() for name in OF_A_CATEGORY):
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
