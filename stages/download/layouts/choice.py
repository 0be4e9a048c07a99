"""Choose the module that reads a layout by its name in params.yaml, and step through wrapping folders."""

from collections.abc import Callable
from pathlib import Path, PurePosixPath

from stages.common.dataset import Layout
from stages.common.folders import LEFT_BEHIND, walk
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
    yolo,
)
from stages.download.layouts.listing import Listing, folder_names, is_picture
from stages.download.layouts.names import is_normal, split_of

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
    "yolo": yolo.find,
}

MAX_WRAPPERS = 2
"""Largest number of wrapping folders: archives put a data set into one, or into two."""

REST: dict[Layout, str] = {
    "coco": "not listed in an annotation file",
    "csv": "not named by the table",
    "elpv": "not named by the table",
    "visa": "not named by the table",
}
"""Why a photograph is left out that nothing of the layout accounts for."""
ELSEWHERE = "outside of the folders of the layout"

UNEXPLAINED = frozenset({*REST.values(), ELSEWHERE, LEFT_BEHIND})
"""Reasons that a layout does not give by itself."""

CHECKSUMS = "MANIFEST.sha256"
"""File at the root of a data set with lines `digest  path`, as sha256sum writes them."""


def find(layout: Layout, root: Path, category: str) -> Listing:
    """List the images of a category of a data set, as downloaded; pictures left over are left out for a reason.

    Args:
        layout: How the data set is laid out.
        root: The folder of the data set; folders that hold only one folder are stepped through.
        category: The name of the category in the data set.

    Raises:
        ValueError: If `root` does not hold the category in this layout, or the category has no image.
    """
    refusal: ValueError | None = None
    for depth in range(MAX_WRAPPERS + 1):
        # A folder of a category itself: stepping into it would accept a misspelt name.
        if depth and any(split_of(name) == "train" or is_normal(name) for name in folder_names(root)):
            break
        try:
            listing = FINDERS[layout](root, category)
        except ValueError as error:
            refusal = refusal or error
        else:
            if not listing.items:
                raise ValueError(f"{listing.home}: no image of category `{category}`")
            _check(listing)
            left_out = listing.left_out | _unaccounted(layout, listing)
            digests = {**_checksums(root, listing.home), **listing.digests}
            return listing._replace(digests=digests, left_out=left_out)
        if len(inner := folder_names(root)) != 1:
            break
        root /= inner[0]
    raise refusal or ValueError(f"{root}: no category `{category}`")


def _check(listing: Listing) -> None:
    """Refuse what no layout may list: a path out of the category, and a mask of two images."""
    owners: dict[str, str] = {}
    for item in listing.items:
        for name in filter(None, (item.path, item.mask, *item.parts)):
            if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
                raise ValueError(f"{listing.home}: {name!r} leads out of the folder; refused")
        if item.mask and (other := owners.setdefault(item.mask, item.path)) != item.path:
            raise ValueError(
                f"{listing.home / item.mask}: it may be the mask of {other} or of {item.path}; rename it after its own"
            )


def _unaccounted(layout: Layout, listing: Listing) -> dict[str, tuple[str, ...]]:
    """The pictures below a category that are neither used nor left out for another reason, by reason."""
    known = {name for item in listing.items for name in (item.path, item.mask, *item.parts)}
    known |= {*listing.orphans, *listing.seen, *(name for names in listing.left_out.values() for name in names)}
    found: dict[str, list[str]] = {}
    for path, junk in walk(listing.home):
        name = path.relative_to(listing.home).as_posix()
        if is_picture(path) and name not in known:
            found.setdefault(LEFT_BEHIND if junk else REST.get(layout, ELSEWHERE), []).append(name)
    return {reason: tuple(sorted(names)) for reason, names in sorted(found.items())}


def _checksums(root: Path, home: Path) -> dict[str, str]:
    file = root / CHECKSUMS
    if not file.is_file():
        return {}
    lines = (line.split(maxsplit=1) for line in file.read_text(encoding="utf-8").splitlines() if line.strip())
    digests = {root / path.lstrip("*"): digest.lower() for digest, path in lines}
    return {p.relative_to(home).as_posix(): digest for p, digest in digests.items() if p.is_relative_to(home)}
