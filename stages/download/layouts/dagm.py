"""DAGM 2007, as downloaded: ClassN/{Train,Test}/NNNN.PNG, Label/NNNN_label.PNG, Label/Labels.txt.

Wieler and Hahn, 2007. The textures are generated, and a mask is an ellipse around the defect, not its outline.
"""

from pathlib import Path

from stages.download.layouts.listing import Item, Listing, by_path, category_folder, files_below, folder_names
from stages.download.layouts.records import refuse_leftovers

SPLITS = ("train", "test")
LABELS = "Label"
NUM_COLUMNS = 5
LEFT_OUT = "anomalous, in the authors' training part"


def find(root: Path, category: str) -> Listing:
    """List the images of a class. Defective images of the authors' training part are left out.

    Raises:
        ValueError: If `root` holds no such class, or Labels.txt cannot be read.
    """
    home = category_folder(root, category, "train")
    items, left_out, orphans, seen = [], [], [], []
    for folder in (name for name in folder_names(home) if name.lower() in SPLITS):
        part = home / folder
        masks = {path.name for path in files_below(part / LABELS) if path.suffix.lower() == ".png"}
        labels = _read_labels(part / LABELS / "Labels.txt", masks)
        images = [path for path in files_below(part) if path.parent == part]
        found = [_item(folder, path, labels) for path in images]
        left_out += [item.path for item in found if item.split == "train" and item.label]
        seen += [f"{folder}/{LABELS}/{name}" for name in masks]
        _check_rows(part / LABELS / "Labels.txt", labels, {path.stem for path in images}, masks)
        items += [item for item in found if item.split != "train" or item.label == 0]
        # One whose image is listed as normal counts too: the list or the mask is wrong.
        owners = {labels[path.stem].lower() for path in images if path.stem in labels}
        orphans += sorted(f"{folder}/{LABELS}/{name}" for name in masks if name.lower() not in owners)
    dropped = {LEFT_OUT: tuple(left_out)} if left_out else {}
    return Listing(home, tuple(sorted(items, key=by_path)), dropped, tuple(orphans), seen=frozenset(seen))


def _check_rows(table: Path, labels: dict[str, str], stems: set[str], masks: set[str]) -> None:
    if table.is_file():
        lost = [f"{stem} with {mask}" for stem, mask in labels.items() if stem not in stems or mask not in masks]
        refuse_leftovers(table, "lines of images or labels that are not there", lost)


def _read_labels(table: Path, masks: set[str]) -> dict[str, str]:
    """Return the name of the mask of each defective image, by the image's stem."""
    if not table.is_file():
        return {name[: -len("_label.PNG")]: name for name in masks}
    labels = {}
    # The first line holds only "1".
    for number, line in enumerate(table.read_text().splitlines()[1:], 2):
        cells = line.split()
        if not cells:
            continue
        if len(cells) != NUM_COLUMNS or cells[1] not in ("0", "1"):
            raise ValueError(f"{table}, line {number}: expected `number 0|1 image 0 label`, got {line!r}")
        if cells[1] == "1":
            labels[Path(cells[2]).stem] = cells[4]
    return labels


def _item(folder: str, path: Path, labels: dict[str, str]) -> Item:
    name = f"{folder}/{path.name}"
    mask = labels.get(path.stem)
    return Item(
        path=name,
        split=folder.lower(),
        label=int(mask is not None),
        defect="defect" if mask else "good",
        mask=f"{folder}/{LABELS}/{mask}" if mask else None,
        group=name,
    )
