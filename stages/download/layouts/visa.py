"""VisA, as downloaded: <category>/Data/{Images,Masks}/{Normal,Anomaly} and split_csv/1cls.csv.

Zou et al., "SPot-the-Difference", ECCV 2022. CC BY 4.0. Masks hold class numbers, not 0 and 255.
"""

from pathlib import Path

from stages.download.layouts.listing import Item, Listing, by_path, files_below
from stages.download.layouts.names import ANOMALOUS, NORMAL, split_of
from stages.download.layouts.tables import read_table

TABLE = "split_csv/1cls.csv"
COLUMNS = ("object", "split", "label", "image", "mask")


def find(root: Path, category: str) -> Listing:
    """List the images of a category, with the authors' split for one class at a time.

    Raises:
        ValueError: If the table is missing, a line of it cannot be read, or it does not name the category.
    """
    table = root / TABLE
    if not table.is_file():
        raise ValueError(f"{root}: no {TABLE}; expected VisA as downloaded")
    header, rows = read_table(table)
    if missing := [name for name in COLUMNS if name not in header]:
        raise ValueError(f"{table}: expected the columns {', '.join(COLUMNS)}; no {', '.join(missing)}")
    if category not in (known := sorted({row["object"] for _, row in rows})):
        raise ValueError(f"{table}: no category `{category}`; it holds {', '.join(known)}")
    items = [_item(table, n, row) for n, row in rows if row["object"] == category]
    masks = {item.mask for item in items}
    home = root / category
    drawn = [path.relative_to(home).as_posix() for path in files_below(home / "Data" / "Masks")]
    orphans = tuple(name for name in drawn if name not in masks)
    return Listing(home, tuple(sorted(items, key=by_path)), {}, orphans, seen=frozenset(drawn))


def _item(table: Path, line: int, row: dict[str, str]) -> Item:
    prefix = f"{row['object']}/"
    label = {**dict.fromkeys(NORMAL, 0), **dict.fromkeys(ANOMALOUS, 1)}.get(row["label"].lower())
    split = split_of(row["split"])
    paths = [path.replace("\\", "/") for path in (row["image"], row["mask"]) if path]
    if label is None or split is None or not row["image"] or not all(p.startswith(prefix) for p in paths):
        raise ValueError(
            f"{table}, line {line}: expected split train, val or test, label normal or anomaly and paths below "
            f"{prefix}, got {','.join(row[name] for name in COLUMNS)}"
        )
    path, *mask = (p.removeprefix(prefix) for p in paths)
    defect = "anomaly" if label else "good"
    return Item(path, split, label, defect, mask[0] if mask else None, group=path)
