"""KolektorSDD, as downloaded: kosNN/PartM.jpg with kosNN/PartM_label.bmp, one folder per commutator.

Tabernik et al., J. Intell. Manuf. 2020. CC BY-NC-SA 4.0. Every image has a mask; that of a normal one is black. All
parts of a commutator share a split, since a model that was trained on some of them knows the others.
"""

from pathlib import Path

from diffusionad.data.images import read_mask
from stages.download.layouts import folder
from stages.download.layouts.listing import Item, Listing, by_path, files_below

CATEGORY = "commutator"
LABEL = "_label"


def find(root: Path, category: str) -> Listing:
    """List the parts; the split is to be drawn by commutator. The layout of MVTec AD is read too.

    Raises:
        ValueError: If there is no folder of a commutator, or another category is asked for.
    """
    if folder.has_layout(root, category):
        return folder.find(root, category, group_of=lambda stem: stem.split("_")[0])
    homes = sorted(path for path in root.glob("kos*") if path.is_dir())
    if not homes or category != CATEGORY:
        raise ValueError(f"{root}: expected folders kos01, kos02, ... of the one category `{CATEGORY}`")
    files = [path for home in homes for path in files_below(home)]
    # One copy in circulation holds a commutator inside another.
    stray = [path for path in files if path.parent.parent != root]
    direct = [path for path in files if path.parent.parent == root]
    masks = {(path.parent, path.stem.removesuffix(LABEL)): path for path in direct if path.stem.endswith(LABEL)}
    images = [path for path in direct if not path.stem.endswith(LABEL)]
    items = [_item(root, path, masks.pop((path.parent, path.stem), None)) for path in images]
    orphans = tuple(path.relative_to(root).as_posix() for path in masks.values())
    names = tuple(path.relative_to(root).as_posix() for path in stray)
    left_out = {"in a folder inside an item": names} if stray else {}
    seen = frozenset(path.relative_to(root).as_posix() for path in direct if path.stem.endswith(LABEL))
    return Listing(root, tuple(sorted(items, key=by_path)), left_out, orphans, seen=seen)


def _item(root: Path, path: Path, mask: Path | None) -> Item:
    if mask is None:
        raise ValueError(f"{path}: no label beside it; expected {path.stem}{LABEL}.bmp")
    label = int(read_mask(mask, None).any())
    return Item(
        path=path.relative_to(root).as_posix(),
        split=None,
        label=label,
        defect="defect" if label else "good",
        mask=mask.relative_to(root).as_posix() if label else None,
        group=path.parent.name,
    )
