"""Which photographs `diffusionad predict` scores: files, folders, lists of paths and patterns -> files by name."""

import functools
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from stages.download.layouts.listing import LEFT_BEHIND, is_picture, walk

TABLE = "predictions.csv"
PICTURES = ("heat", "overlay")
"""What a prediction writes: a table, and folders of pictures."""

ANSWERS = ("score", "label", "threshold", "normals_above", "latency_ms")
COLUMNS = ("path", *ANSWERS, "error")
"""The columns of the table."""

LISTS = (".txt", ".lst")
"""Endings of a list: one path per line. A blank line and one that begins with # are passed over."""

EARLIER = "written by a prediction"
"""Why a file is passed over that an earlier run wrote."""


class Photographs(NamedTuple):
    """What is to be scored."""

    files: dict[str, Path]
    """By name: the path relative to the folder that holds all of them, with forward slashes; sorted."""
    passed_over: dict[str, int]
    """Number of files that are no photographs, by reason."""


def find_photographs(sources: Sequence[str], out: Path) -> Photographs:
    """List the photographs of all sources; one that is named twice is listed once.

    Args:
        sources: Each a file, a folder (searched at any depth), a list (`LISTS`) of files and folders, whose relative
            paths start at the current folder or else at that of the list, or a pattern such as `line-*/**/*.png`.
        out: Folder of this prediction, whose own pictures are no photographs.

    Raises:
        ValueError: If a source does not exist, matches nothing or holds no photograph.
    """
    is_output = functools.cache(functools.partial(_is_output, os.path.realpath(out)))
    homes: list[Path] = []
    found: dict[Path, Path] = {}
    earlier: set[Path] = set()
    left_behind: set[Path] = set()
    for source in sources:
        count = 0
        for path in _paths_of(source):
            homes.append(path if path.is_dir() else path.parent)
            for file, is_junk in sorted(walk(path)) if path.is_dir() else [(path, False)]:
                # A folder that is linked to holds a file under many names, but only in one place.
                place = Path(os.path.realpath(file.parent), file.name)
                if is_junk:
                    left_behind |= {place} if is_picture(file) else set()
                elif any(map(is_output, _folders_of_output(file))):
                    earlier.add(place)
                else:
                    found.setdefault(place, file)
                    count += 1
        if count == 0:
            known = f" but {len(earlier)} that predictions wrote" if earlier else ""
            raise ValueError(f"{source}: no files here{known}; name a file, a folder, a list of paths or a pattern")
    home = Path(os.path.commonpath(homes))
    files = {file.relative_to(home).as_posix(): file for file in sorted(found.values())}
    passed_over = {EARLIER: len(earlier), LEFT_BEHIND: len(left_behind)}
    return Photographs(files, {reason: count for reason, count in passed_over.items() if count})


def _paths_of(source: str) -> list[Path]:
    """Return the files and folders that a source names, as absolute paths; links are kept."""
    path = _absolute(source)
    if path.is_file() and path.suffix.lower() in LISTS:
        return list(_read_list(path))
    if path.exists():
        return [path]
    # Path.glob takes no absolute pattern.
    matches = sorted(glob.glob(source, recursive=True)) if glob.has_magic(source) else []  # noqa: PTH207
    if matches:
        return [_absolute(match) for match in matches]
    raise ValueError(
        f"{source}: {'nothing matches this pattern' if glob.has_magic(source) else 'no such file or folder'}; "
        "name a photograph, a folder, a list of paths (.txt) or a pattern in quotes"
    )


def _read_list(path: Path) -> Iterator[Path]:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError(f"{path}: expected a list of paths, one per line, in UTF-8; got other bytes") from None
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        places = [place for place in (_absolute(text), _absolute(path.parent / text)) if place.exists()]
        if not places:
            raise ValueError(f"{path}: line {number}: {text}: no such file or folder, here or beside the list")
        yield places[0]


def _absolute(path: str | Path) -> Path:
    return Path(os.path.abspath(path))  # noqa: PTH100  # links keep their names


def _folders_of_output(file: Path) -> list[Path]:
    """Return the folders into which a prediction would have written this file."""
    folders = [folder.parent for folder in file.parents if folder.name in PICTURES]
    return [file.parent, *folders] if file.name == TABLE else folders


def _is_output(out: str, folder: Path) -> bool:
    """Whether a prediction wrote into a folder: it is `out`, or an earlier one left its table there."""
    if os.path.realpath(folder) == out:
        return True
    try:
        with (folder / TABLE).open(encoding="utf-8") as table:
            return table.readline().startswith(",".join(COLUMNS[:4]))
    except (OSError, UnicodeDecodeError):
        return False
