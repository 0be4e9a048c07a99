"""Magnetic tile defects, as downloaded: MT_<Defect>/Imgs/expE_num_N.jpg with a mask .png beside each.

MT_Free is normal. Huang, Qiu, Yuan, The Visual Computer 36 (2020). No licence is stated; research use with citation.
A tile was photographed at up to six exposures in a row of the frame counter N, so photographs with close counters show
the same tile. About 35 tiles were photographed in two separate rows, which the counters do not tell.
"""

import re
from pathlib import Path

from diffusionad.data.images import read_mask
from stages.download.layouts import folder
from stages.download.layouts.listing import Item, Listing, by_path, files_below

CATEGORY = "magnetic_tile"
NAME = re.compile(r"exp\d+_num_(\d+)")
MAX_GAP = 100
"""Largest number of frames between two photographs of one tile."""


def find(root: Path, category: str) -> Listing:
    """List the photographs, grouped by tile; the split is to be drawn. The layout of MVTec AD is read too.

    Raises:
        ValueError: If there is no MT_ folder, a name has no frame counter, or another category is asked for.
    """
    if folder.has_layout(root, category):
        listing = folder.find(root, category)
        return listing._replace(items=_grouped(listing.items))
    homes = sorted(path for path in root.glob("MT_*") if path.is_dir())
    if not homes or category != CATEGORY:
        raise ValueError(f"{root}: expected folders MT_Free, MT_Crack, ... of the one category `{CATEGORY}`")
    files = [path for home in homes for path in files_below(home / "Imgs")]
    images = [path for path in files if path.suffix.lower() == ".jpg"]
    masks = {path.with_suffix("") for path in files if path.suffix.lower() == ".png"}
    items = [_item(root, path, has_mask=path.with_suffix("") in masks) for path in images]
    kept = [item for item in items if item.mask is None or read_mask(root / item.mask, None).any()]
    dropped = tuple(item.path for item in items if item not in kept)
    left_out = {"anomalous, but its mask is empty": dropped} if dropped else {}
    owners = {path.with_suffix("") for path in images}
    orphans = tuple(sorted(f"{stem.relative_to(root).as_posix()}.png" for stem in masks - owners))
    seen = frozenset(path.relative_to(root).as_posix() for path in files if path.suffix.lower() == ".png")
    return Listing(root, _grouped(tuple(sorted(kept, key=by_path))), left_out, orphans, seen=seen)


def _item(root: Path, path: Path, *, has_mask: bool) -> Item:
    defect = path.parent.parent.name.removeprefix("MT_").lower()
    name = path.relative_to(root).as_posix()
    label = int(defect != "free")
    mask = f"{name.removesuffix(path.suffix)}.png" if label and has_mask else None
    return Item(name, None, label, defect if label else "good", mask, group=name)


def _grouped(items: tuple[Item, ...]) -> tuple[Item, ...]:
    frames = {item.path: _frame(item.path) for item in items}
    tile_of: dict[int, int] = {}
    tile = previous = -MAX_GAP - 1
    for frame in sorted(set(frames.values())):
        if frame - previous > MAX_GAP:
            tile = frame
        tile_of[frame] = tile
        previous = frame
    return tuple(item._replace(group=f"tile_{tile_of[frames[item.path]]}") for item in items)


def _frame(path: str) -> int:
    match = NAME.search(Path(path).stem)
    if match is None:
        raise ValueError(f"{path}: expected a name like exp1_num_2345, whose number tells the tile")
    return int(match[1])
