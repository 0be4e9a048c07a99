"""ELPV: electroluminescence images of solar cells, as the package `elpv-dataset` lays them out.

images/cellNNNN.png and labels.csv with lines `images/cellNNNN.png  PROBABILITY  TYPE`. Categories are the types, mono
and poly. Buerhop et al. 2018; Deitsch et al. 2019. CC BY-NC-SA 4.0.
"""

from pathlib import Path

from stages.download.layouts.listing import Item, Listing, by_path

CERTAIN = {0.0: 0, 1.0: 1}
"""Label by probability of a defect. At 1/3 and 2/3 the experts did not agree."""

RETAKEN = range(2277, 2327)
"""Numbers of poly cells that had been photographed before: the perceptual hashes of 50 pairs agree."""
RETAKE_STEP = 542
"""Difference to the number of the earlier photograph."""


def find(root: Path, category: str) -> Listing:
    """List the cells of one type on which the experts agreed; the split is to be drawn.

    Raises:
        ValueError: If there is no labels.csv, a line of it cannot be read, or no cell has this type.
    """
    table = root / "labels.csv"
    if not table.is_file():
        raise ValueError(f"{table}: not found; expected labels.csv and images/ as in the package elpv-dataset")
    lines = table.read_text(encoding="utf-8-sig").splitlines()
    cells = [_parse(table, number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if category not in (kinds := sorted({kind for _, _, kind in cells})):
        raise ValueError(f"{table}: no category `{category}`; it holds {', '.join(kinds)}")
    mine = [(path, probability) for path, probability, kind in cells if kind == category]
    items = [_item(path, CERTAIN[p]) for path, p in mine if p in CERTAIN]
    left_out = {"uncertain (probability 1/3 or 2/3)": tuple(path for path, p in mine if p not in CERTAIN)}
    others = frozenset(path for path, _, kind in cells if kind != category)
    return Listing(root, tuple(sorted(items, key=by_path)), left_out, seen=others)


def _parse(table: Path, number: int, line: str) -> tuple[str, float, str]:
    try:
        path, probability, kind = line.split()
        return path.replace("\\", "/"), float(probability), kind
    except ValueError:
        raise ValueError(f"{table}, line {number}: expected `path probability type`, got {line!r}") from None


def _item(path: str, label: int) -> Item:
    defect = "defective" if label else "good"
    return Item(path=path, split=None, label=label, defect=defect, mask=None, group=_cell(path))


def _cell(path: str) -> str:
    stem = Path(path).stem
    digits = stem.removeprefix("cell")
    if digits.isdigit() and int(digits) in RETAKEN:
        return f"cell{int(digits) - RETAKE_STEP:04d}"
    return stem
