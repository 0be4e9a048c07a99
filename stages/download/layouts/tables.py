"""Read tables as spreadsheets write them, and the paths in them."""

import csv
import io
import re
from pathlib import Path, PurePosixPath

from stages.download.layouts.records import is_name

DELIMITERS = ",;\t"
DRIVE = re.compile(r"^[A-Za-z]:")


def read_table(table: Path) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    """Read a table with a header in UTF-8, UTF-16 or cp1252 whose cells are apart by a comma, a semicolon or a tab.

    Returns:
        The names of the columns in small letters, and each row that is not empty, with the number of its line.

    Raises:
        ValueError: If it is no such table.
    """
    text = _text(table)
    if text[:4].lower() == "sep=":  # what Excel writes before the header to name the delimiter
        text = text.partition("\n")[2]
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    try:
        header = [cell.strip().lower() for cell in next(lines, [])]
        rows = [(lines.line_num, [cell.strip() for cell in row]) for row in lines]
    except csv.Error as error:
        raise ValueError(f"{table}, line {lines.line_num}: not a table: {error}") from None
    for line, row in rows:
        if any(row[len(header) :]):
            raise ValueError(
                f"{table}, line {line}: {len(row)} cells below {len(header)} names; quote cells with commas"
            )
    return header, [(n, dict(zip(header, row + [""] * len(header), strict=False))) for n, row in rows if any(row)]


def path_in(place: str, home: Path, text: str) -> str:
    """Return a path of a table relative to `home`, with forward slashes.

    A path of a Windows machine is found by its end.

    Raises:
        ValueError: If it leads out of `home`.
    """
    if not is_name(text):
        raise ValueError(f"{place}: expected a path below {home}, got {text[:100]!r}")
    if "\\" in text and not (home / text).exists():
        text = text.replace("\\", "/")
    path = PurePosixPath(text)
    if DRIVE.match(text) or text.startswith("//"):
        ends = (PurePosixPath(*path.parts[start:]) for start in range(1, len(path.parts)))
        path = next((end for end in ends if (home / end).is_file()), path)
    if path.is_absolute() and path.is_relative_to(home.absolute().as_posix()):
        path = path.relative_to(home.absolute().as_posix())
    if path.is_absolute() or ".." in path.parts or DRIVE.match(str(path)):
        raise ValueError(f"{place}: expected a path below {home}, got {text!r}")
    return path.as_posix()


def _text(table: Path) -> str:
    data = table.read_bytes()
    encodings = ("utf-16",) if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ("utf-8-sig", "cp1252")
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise ValueError(f"{table}: not a text in UTF-8, UTF-16 or cp1252; save it as CSV in UTF-8")


def _delimiter(text: str) -> str:
    header = text.partition("\n")[0]
    return max(DELIMITERS, key=header.count)
