"""The layout of anomalib's Folder data: a folder of normal images, one per defect, and one of masks.

good/ or normal/; <defect>/*; mask/<defect>/<stem>.png or mask/<stem>.png; optionally normal_test/. Without it, normal
test images are drawn from the others, as in anomalib.
"""

from pathlib import Path

from stages.download.layouts.listing import Item, Listing, by_path, files_below, folder_names

NORMAL = ("good", "normal")
NORMAL_TEST = ("normal_test", "good_test", "test_good", "test_normal")
MASKS = ("mask", "masks", "ground_truth")
ENDINGS = ("", "_mask", "_gt", "_label")


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
    if not any(name in NORMAL for name in names):
        raise ValueError(f"{home}: expected a folder {' or '.join(NORMAL)}; it holds {', '.join(names) or 'no folder'}")
    has_test = any(name in NORMAL_TEST for name in names)
    masks = {
        path.relative_to(home / name).with_suffix("").as_posix(): path.relative_to(home).as_posix()
        for name in MASKS
        for path in files_below(home / name)
    }
    items = [
        _item(home, path, masks, has_test=has_test)
        for name in names
        if name not in MASKS
        for path in files_below(home / name)
    ]
    used = {item.mask for item in items}
    orphans = tuple(sorted(mask for mask in masks.values() if mask not in used))
    return Listing(home, tuple(sorted(items, key=by_path)), {}, orphans)


def _item(home: Path, path: Path, masks: dict[str, str], *, has_test: bool) -> Item:
    name = path.relative_to(home).as_posix()
    kind = name.split("/")[0]
    if kind in NORMAL:
        return Item(name, "train" if has_test else None, 0, "good", None, group=name)
    if kind in NORMAL_TEST:
        return Item(name, "test", 0, "good", None, group=name)
    stem = name.removesuffix(path.suffix)
    keys = [f"{base}{ending}" for base in (stem, stem.removeprefix(f"{kind}/")) for ending in ENDINGS]
    mask = next((masks[key] for key in keys if key in masks), None)
    return Item(name, "test" if has_test else None, 1, kind, mask, group=name)
