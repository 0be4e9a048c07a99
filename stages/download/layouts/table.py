"""A custom table: <category>.csv or <category>/*.csv.

Its columns are path, label, mask, split, defect, group and sha256, of which only `path` and one of label and split are
required. Tables of anomalib's Tabular data (image_path, label_index, mask_path, split) are read too.
"""

from pathlib import Path

from stages.download.layouts.listing import Item, Listing, by_path
from stages.download.layouts.names import ANOMALOUS, NORMAL, split_of
from stages.download.layouts.tables import path_in, read_table

NAMES = {
    "path": ("path", "image_path", "image", "filename"),
    "label": ("label_index", "label"),
    "mask": ("mask", "mask_path"),
    "split": ("split",),
    "defect": ("defect", "defect_type"),
    "group": ("group",),
    "sha256": ("sha256",),
}
"""Accepted names of each column, in order of preference."""
NORMAL_LABELS = NORMAL | {"0", "normal_test", "false"}
ANOMALOUS_LABELS = ANOMALOUS | {"1", "true"}


def find(root: Path, category: str) -> Listing:
    """List the images of a table; without a column `split`, the split is to be drawn.

    Paths are relative to the folder of the table; absolute paths must lie in it.

    Raises:
        ValueError: If there is no table or more than one, a column is missing, or a row cannot be read.
    """
    table = _table(root, category)
    header, lines = read_table(table)
    columns = _columns(table, header)
    rows = [(line, {ours: row[theirs] for ours, theirs in columns.items()}) for line, row in lines]
    items = [_item(table, line, row) for line, row in rows]
    digests = {i.path: row["sha256"].lower() for i, (_, row) in zip(items, rows, strict=True) if row.get("sha256")}
    return Listing(table.parent, tuple(sorted(items, key=by_path)), {}, digests=digests)


def _table(root: Path, category: str) -> Path:
    tables = [root / f"{category}.csv"] if (root / f"{category}.csv").is_file() else []
    tables = tables or sorted((root / category).glob("*.csv")) or sorted(root.glob("*.csv"))
    if len(tables) != 1:
        found = ", ".join(table.name for table in tables) or "none"
        raise ValueError(f"{root}: expected one table, {category}.csv or {category}/*.csv; found {found}")
    return tables[0]


def _columns(table: Path, header: list[str]) -> dict[str, str]:
    found = {ours: next((name for name in names if name in header), None) for ours, names in NAMES.items()}
    columns = {ours: theirs for ours, theirs in found.items() if theirs is not None}
    if "path" not in columns or not columns.keys() & {"label", "split"}:
        raise ValueError(f"{table}: expected the columns path, label and, if any, mask and split; got {header}")
    return columns


def _item(table: Path, line: int, row: dict[str, str]) -> Item:
    place = f"{table}, line {line}"
    name = row.get("split", "")
    split = split_of(name)
    if name and split is None:
        raise ValueError(f"{place}: expected split train, val or test, got {name!r}")
    label = _label(
        place, row["label"] if "label" in row else {"train": "0", "val": "0", "test": "1"}.get(split or "", name)
    )
    path = path_in(place, table.parent, row["path"])
    return Item(
        path=path,
        split=split,
        label=label,
        defect=row.get("defect") or ("anomaly" if label else "good"),
        mask=path_in(place, table.parent, row["mask"]) if row.get("mask") else None,
        group=row.get("group") or path,
    )


def _label(place: str, text: str) -> int:
    label = text.lower().replace(",", ".").removesuffix(".0")  # numbers that went through pandas or a German Excel
    if label not in NORMAL_LABELS | ANOMALOUS_LABELS:
        raise ValueError(f"{place}: expected label 0 (normal) or 1 (anomalous), got {text!r}")
    return int(label in ANOMALOUS_LABELS)
