"""The layout of anomalib's Folder data: a folder of normal images, one per defect, and one of masks.

good/ or another word for normal; <defect>/*; mask/<defect>/<stem>.png or mask/<stem>.png; optionally normal_test/.
Without it, normal test images are drawn from the others, as in anomalib.
"""

from pathlib import Path

from stages.download.layouts.listing import Item, Listing, by_path, files_below, folder_names
from stages.download.layouts.masks import Masks
from stages.download.layouts.names import GOOD, is_mask_folder, is_normal

NORMAL_TEST = ("normal_test", "good_test", "test_good", "test_normal")


def find(root: Path, category: str) -> Listing:
    """List the images of a category.

    Args:
        root: The folder of the data set, with a folder for the category or the category itself.
        category: Its name.

    Raises:
        ValueError: If there is no folder of normal images.
    """
    home = root / category if (root / category).is_dir() else root
    names = folder_names(home)
    if not any(map(is_normal, names)):
        raise ValueError(f"{home}: expected a folder {GOOD} or normal; it holds {', '.join(names) or 'no folder'}")
    has_test = any(name.lower() in NORMAL_TEST for name in names)
    masks = Masks(
        home, [(home / name, path) for name in names if is_mask_folder(name) for path in files_below(home / name)]
    )
    items = [
        _item(home, path, masks, has_test=has_test)
        for name in names
        if not is_mask_folder(name)
        for path in files_below(home / name)
    ]
    used = {name for item in items for name in (item.mask, *item.parts)}
    return Listing(home, tuple(sorted(items, key=by_path)), {}, tuple(sorted(masks.names - used)))


def _item(home: Path, path: Path, masks: Masks, *, has_test: bool) -> Item:
    name = path.relative_to(home).as_posix()
    kind = name.split("/")[0]
    if is_normal(kind):
        return Item(name, "train" if has_test else None, 0, GOOD, None, group=name)
    if kind.lower() in NORMAL_TEST:
        return Item(name, "test", 0, GOOD, None, group=name)
    stem = name.removesuffix(path.suffix)
    found = masks.of(stem, stem.removeprefix(f"{kind}/"))
    return Item(name, "test" if has_test else None, 1, kind, found.mask, group=name, parts=found.parts)
