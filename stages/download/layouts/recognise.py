"""Recognise the layout of a folder: try every one that is known, and choose the one that accounts for most files."""

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from stages.common.dataset import Layout
from stages.download.layouts import ksdd, magnetic_tile
from stages.download.layouts.choice import FINDERS, MAX_WRAPPERS, UNEXPLAINED, find
from stages.download.layouts.listing import WHOLE, Listing, folder_names

KNOWN = ("mono", "poly", ksdd.CATEGORY, magnetic_tile.CATEGORY)
"""Categories of published data sets that no folder is named by."""
UNTRIED: tuple[Layout, ...] = ("dtd",)
"""Layouts that nearly any folder has: textures for synthesis, without anomalous images."""
YIELDS: dict[Layout, tuple[Layout, ...]] = {"folder": ("ksdd", "labelme", "magnetic_tile"), "visa": ("csv",)}
"""Layouts that read copies in another layout too, by the layout that they leave the choice to."""


class Fit(NamedTuple):
    """A layout in which a folder can be read."""

    layout: Layout
    categories: dict[str, Listing]
    """What it lists, by category."""

    @property
    def score(self) -> int:
        """Files accounted for, less the masks and annotations whose image it does not find."""
        return sum(_accounted(listing) for listing in self.categories.values())


def recognise(root: Path, layouts: Iterable[Layout], preferred: Layout | None) -> list[Fit]:
    """Return the layouts that account for most files of a folder: one, unless it can be read in several ways.

    Args:
        root: Folder of a data set, or of one category.
        layouts: The layouts to try.
        preferred: The layout that decides between several that account for as many files; None for none.
    """
    fits = [Fit(layout, found) for layout in layouts if (found := _categories(layout, root))]
    most = max((fit.score for fit in fits), default=0)
    best = {fit.layout: fit for fit in fits if fit.score == most}
    if preferred in best:
        return [best[preferred]]
    yielding = {other for layout in best for other in YIELDS.get(layout, ())}
    return [fit for layout, fit in best.items() if layout not in yielding]


def layouts_to_try() -> list[Layout]:
    """The layouts of photographs to train on."""
    return [layout for layout in FINDERS if layout not in UNTRIED]


def _categories(layout: Layout, root: Path) -> dict[str, Listing]:
    """List every category that a folder holds in a layout, each of its files in one category."""
    found: dict[str, Listing] = {}
    for category in _candidates(root):
        try:
            listing = find(layout, root, category)
        except ValueError:
            continue
        first = listing.home / listing.items[0].path
        is_new = first.is_file() and all(first not in _paths(other) for other in found.values())
        if is_new and _is_plausible(listing):
            found[category] = listing
    return found


def _is_plausible(listing: Listing) -> bool:
    """Whether there are normal images, and defects where there are masks or annotations."""
    labels = {item.label for item in listing.items}
    return 0 in labels and (1 in labels or not listing.orphans)


def _candidates(root: Path) -> list[str]:
    """Names that a category may have: the folder itself, the whole of an export without categories, and folders."""
    names, inner = [root.name, WHOLE], root
    for _ in range(MAX_WRAPPERS + 1):
        names += folder_names(inner)
        if len(folder_names(inner)) != 1:
            break
        inner /= folder_names(inner)[0]
    return list(dict.fromkeys([*names, *KNOWN]))


def _paths(listing: Listing) -> set[Path]:
    return {listing.home / item.path for item in listing.items}


def _accounted(listing: Listing) -> int:
    masks = {item.mask for item in listing.items if item.mask is not None}
    left_out = sum(len(images) for reason, images in listing.left_out.items() if reason not in UNEXPLAINED)
    return len(listing.items) + len(masks) + left_out - len(listing.orphans)
