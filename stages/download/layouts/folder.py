"""The layout of MVTec AD, which MPDD, MVTec LOCO, MVTec AD 2 and most custom data sets share.

train/good/*, test/good/*, test/<defect>/*, ground_truth/<defect>/<stem>_mask.png; optionally val/good/*. MVTec LOCO has
a folder of masks for each image, MVTec AD 2 test_public with a folder of masks inside. Bergmann et al., "MVTec AD",
CVPR 2019; "Beyond Dents and Scratches", IJCV 130, 2022; Heckler-Kram et al., "MVTec AD 2", arXiv:2503.21622.
"""

from collections.abc import Callable
from pathlib import Path

from stages.download.layouts.listing import (
    Item,
    Listing,
    by_path,
    category_folder,
    files_below,
    folder_names,
    is_picture,
)
from stages.download.layouts.masks import Masks
from stages.download.layouts.names import GOOD, defect_of, is_mask_folder, is_normal, split_of

MASKS_INSIDE = "ground_truth"
"""Folder of masks within a folder of a split, as MVTec AD 2 has it."""
UNLABELLED = "test_private"
"""Beginning of the names of folders of MVTec AD 2 whose labels are not published."""


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
    names = folder_names(home)
    files = [(home / name, path) for name in names if split_of(name) for path in files_below(home / name)]
    inside = {path: folder / path.relative_to(folder).parts[0] for folder, path in files if _is_mask(folder, path)}
    beside = [(home / name, path) for name in names if is_mask_folder(name) for path in files_below(home / name)]
    masks = Masks(home, [*beside, *((folder, path) for path, folder in inside.items())])
    items = [_item(home, path, masks) for _, path in files if path not in inside]
    if group_of:
        items = [item._replace(group=group_of(Path(item.path).stem)) for item in items]
    used = {name for item in items for name in (item.mask, *item.parts)}
    private = [name for name in names if name.startswith(UNLABELLED)]
    unlabelled = tuple(
        path.relative_to(home).as_posix() for name in private for path in files_below(home / name) if is_picture(path)
    )
    left_out = {"in a test part without labels": unlabelled} if unlabelled else {}
    return Listing(home, tuple(sorted(items, key=by_path)), left_out, tuple(sorted(masks.names - used)))


def has_layout(root: Path, category: str) -> bool:
    """Tell whether `root` holds the category in this layout."""
    return any(
        is_normal(inner)
        for home in (root / category, root)
        for name in folder_names(home)
        if split_of(name) == "train"
        for inner in folder_names(home / name)
    )


def _is_mask(folder: Path, path: Path) -> bool:
    # No other word: a defect may be called `mask`.
    return path.relative_to(folder).parts[0].lower() == MASKS_INSIDE


def _item(home: Path, path: Path, masks: Masks) -> Item:
    name = path.relative_to(home).as_posix()
    folder, inner = name.split("/")[:2]
    if name.count("/") == 1:
        raise ValueError(f"{path}: expected it in a folder named {GOOD} or by its defect, not in {folder} itself")
    split, defect = split_of(folder), defect_of(inner)
    stem = path.relative_to(home / folder / inner).with_suffix("").as_posix()
    found = masks.of(f"{inner}/{stem}")
    is_test = split == "test"
    return Item(
        path=name,
        split=split,
        label=int(defect != GOOD),
        defect=defect,
        mask=found.mask if is_test else None,
        group=name,
        parts=found.parts if is_test else (),
    )
