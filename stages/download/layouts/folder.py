"""The layout of MVTec AD, which MPDD and most custom data sets share.

train/good/*, test/good/*, test/<defect>/*, ground_truth/<defect>/<stem>_mask.png; optionally val/good/*.
Bergmann et al., "MVTec AD", CVPR 2019.
"""

import re
from collections.abc import Callable
from pathlib import Path

from stages.download.layouts.listing import Item, Listing, by_path, category_folder, files_below

GOOD = "good"
SPLITS = {"train": "train", "val": "val", "validation": "val", "valid": "val", "test": "test"}
"""Split by folder."""
MASK_ENDING = re.compile(r"(_mask|_label|_gt)?$", re.IGNORECASE)
"""Suffix of the stem of a mask that its image does not have."""


def find(root: Path, category: str, group_of: Callable[[str], str] | None = None) -> Listing:
    """List the images of a category; validation images are to be drawn if there is no folder of them.

    Args:
        root: The folder of the data set, with a folder for the category or the category itself.
        category: Its name.
        group_of: Maps the stem of an image to its physical object; None if the names do not tell.

    Raises:
        ValueError: If `root` holds no such category, or an image lies beside the folders of the defects.
    """
    home = category_folder(root, category, "train")
    masks = {_key(home, path): path for path in files_below(home / "ground_truth")}
    items = [_item(home, path, masks) for folder in SPLITS for path in files_below(home / folder)]
    if group_of:
        items = [item._replace(group=group_of(Path(item.path).stem)) for item in items]
    used = {item.mask for item in items}
    orphans = sorted(name for path in masks.values() if (name := path.relative_to(home).as_posix()) not in used)
    return Listing(home, tuple(sorted(items, key=by_path)), {}, tuple(orphans))


def has_layout(root: Path, category: str) -> bool:
    """Tell whether `root` holds the category in this layout."""
    return (root / category / "train" / GOOD).is_dir() or (root / "train" / GOOD).is_dir()


def _item(home: Path, path: Path, masks: dict[str, Path]) -> Item:
    name = path.relative_to(home).as_posix()
    folder, defect = name.split("/")[:2]
    if name.count("/") == 1:
        raise ValueError(f"{path}: expected it in a folder named {GOOD} or by its defect, not in {folder} itself")
    mask = masks.get(f"{defect}/{path.relative_to(home / folder / defect).with_suffix('').as_posix()}")
    is_test = SPLITS[folder] == "test"
    return Item(
        path=name,
        split=SPLITS[folder],
        label=int(defect != GOOD),
        defect=defect,
        mask=mask.relative_to(home).as_posix() if mask and is_test else None,
        group=name,
    )


def _key(home: Path, mask: Path) -> str:
    name = mask.relative_to(home / "ground_truth").with_suffix("").as_posix()
    return MASK_ENDING.sub("", name, count=1)
