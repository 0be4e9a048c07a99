"""A custom table: <category>.csv or <category>/*.csv.

Its columns are path, label, mask, split, defect, group and sha256, of which only `path` and one of label and split are
required. Tables of anomalib's Tabular data (image_path, label_index, mask_path, split) are read too.
"""

import csv
from pathlib import Path, PurePosixPath

from stages.download.layouts.listing import Item, Listing, by_path

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
NORMAL = ("0", "normal", "normal_test", "good", "ok", "false")
ANOMALOUS = ("1", "abnormal", "anomalous", "anomaly", "defect", "defective", "ng", "bad", "true")
SPLITS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test", "": None}


def find(root: Path, category: str) -> Listing:
    """List the images of a table; without a column `split`, the split is to be drawn.

    Paths are relative to the folder of the table; absolute paths must lie in it.

    Raises:
        ValueError: If there is no table or more than one, a column is missing, or a row cannot be read.
    """
    table = _table(root, category)
    with table.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        columns = _columns(table, tuple(reader.fieldnames or ()))
        rows = [{ours: (row[theirs] or "").strip() for ours, theirs in columns.items()} for row in reader]
    items = [_item(table, line, row) for line, row in enumerate(rows, 2)]
    digests = {i.path: row["sha256"].lower() for i, row in zip(items, rows, strict=True) if row.get("sha256")}
    return Listing(table.parent, tuple(sorted(items, key=by_path)), {}, digests=digests)


def _table(root: Path, category: str) -> Path:
    tables = [root / f"{category}.csv"] if (root / f"{category}.csv").is_file() else []
    tables = tables or sorted((root / category).glob("*.csv")) or sorted(root.glob("*.csv"))
    if len(tables) != 1:
        found = ", ".join(table.name for table in tables) or "none"
        raise ValueError(f"{root}: expected one table, {category}.csv or {category}/*.csv; found {found}")
    return tables[0]


def _columns(table: Path, header: tuple[str, ...]) -> dict[str, str]:
    found = {ours: next((name for name in names if name in header), None) for ours, names in NAMES.items()}
    columns = {ours: theirs for ours, theirs in found.items() if theirs is not None}
    if "path" not in columns or not columns.keys() & {"label", "split"}:
        raise ValueError(f"{table}: expected the columns path, label and, if any, mask and split; got {list(header)}")
    return columns


def _item(table: Path, line: int, row: dict[str, str]) -> Item:
    place = f"{table}, line {line}"
    split = row.get("split", "").lower()
    if split not in SPLITS:
        raise ValueError(f"{place}: expected split train, val or test, got {split!r}")
    label = _label(place, row["label"].lower() if "label" in row else split.replace("train", "0").replace("test", "1"))
    path = _inside(place, table.parent, row["path"])
    return Item(
        path=path,
        split=SPLITS[split],
        label=label,
        defect=row.get("defect") or ("anomaly" if label else "good"),
        mask=_inside(place, table.parent, row["mask"]) if row.get("mask") else None,
        group=row.get("group") or path,
    )


def _label(place: str, text: str) -> int:
    text = text.removesuffix(".0")  # a table that went through pandas with a gap
    if text not in NORMAL + ANOMALOUS:
        raise ValueError(f"{place}: expected label 0 (normal) or 1 (anomalous), got {text!r}")
    return int(text in ANOMALOUS)


def _inside(place: str, home: Path, text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() and path.is_relative_to(home.absolute().as_posix()):
        path = path.relative_to(home.absolute().as_posix())
    if not text or path.is_absolute() or ".." in path.parts:
        raise ValueError(f"{place}: expected a path below {home}, got {text!r}")
    return path.as_posix()
