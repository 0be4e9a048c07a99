"""VisA, as downloaded: <category>/Data/{Images,Masks}/{Normal,Anomaly} and split_csv/1cls.csv.

Zou et al., "SPot-the-Difference", ECCV 2022. CC BY 4.0. Masks hold class numbers, not 0 and 255.
"""

import csv
from pathlib import Path

from stages.download.layouts.listing import Item, Listing, by_path, files_below

TABLE = "split_csv/1cls.csv"
COLUMNS = ("object", "split", "label", "image", "mask")
LABELS = {"normal": 0, "anomaly": 1}


def find(root: Path, category: str) -> Listing:
    """List the images of a category, with the authors' split for one class at a time.

    Raises:
        ValueError: If the table is missing, a line of it cannot be read, or it does not name the category.
    """
    table = root / TABLE
    if not table.is_file():
        raise ValueError(f"{root}: no {TABLE}; expected VisA as downloaded")
    with table.open(newline="", encoding="utf-8") as lines:
        reader = csv.DictReader(lines)
        if missing := [name for name in COLUMNS if name not in (reader.fieldnames or ())]:
            raise ValueError(f"{table}: expected the columns {', '.join(COLUMNS)}; no {', '.join(missing)}")
        rows = list(reader)
    if category not in (known := sorted({row["object"] for row in rows})):
        raise ValueError(f"{table}: no category `{category}`; it holds {', '.join(known)}")
    items = [_item(table, n, row) for n, row in enumerate(rows, 2) if row["object"] == category]
    masks = {item.mask for item in items}
    home = root / category
    drawn = [path.relative_to(home).as_posix() for path in files_below(home / "Data" / "Masks")]
    orphans = tuple(name for name in drawn if name not in masks)
    return Listing(home, tuple(sorted(items, key=by_path)), {}, orphans)


def _item(table: Path, line: int, row: dict[str, str]) -> Item:
    prefix = f"{row['object']}/"
    label = LABELS.get(row["label"])
    paths = [row["image"], *([row["mask"]] if row["mask"] else [])]
    if label is None or row["split"] not in ("train", "val", "test") or not all(p.startswith(prefix) for p in paths):
        raise ValueError(
            f"{table}, line {line}: expected split train, val or test, label {' or '.join(LABELS)} and paths below "
            f"{prefix}, got {','.join(row[name] or '' for name in COLUMNS)}"
        )
    path, *mask = (p.removeprefix(prefix) for p in paths)
    defect = "anomaly" if label else "good"
    return Item(path, row["split"], label, defect, mask[0] if mask else None, group=path)
