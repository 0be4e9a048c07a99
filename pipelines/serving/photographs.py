"""Which photographs `diffusionad predict` scores: files, folders, lists of paths and patterns -> files by name."""

import fnmatch
import functools
import glob
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from stages.common.folders import LEFT_BEHIND, files_under, is_junk

TABLE = "predictions.csv"
PICTURES = ("heat", "overlay")
"""What a prediction writes: a table, and folders of pictures."""

ANSWERS = ("score", "label", "threshold", "normals_above", "latency_ms")
COLUMNS = ("path", *ANSWERS, "error")
"""The columns of the table."""

LISTS = (".txt", ".lst")
"""Endings of a list: one path per line. A blank line and one that begins with # are passed over."""

VERSION, DRIFT = "version=", "_drift.json"
"""What a scoring writes: parts of a table and a file about their drift, in a folder for each version."""

EARLIER = "written by a prediction"
"""Why files are passed over that are no junk."""


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
    is_written = written_by_prediction(out)
    homes: list[Path] = []
    found: dict[Path, Path] = {}
    passed_over: dict[str, set[Path]] = {EARLIER: set(), LEFT_BEHIND: set()}
    for source in sources:
        count = 0
        for path, below in _paths_of(source):
            files, junk = files_under(path) if path.is_dir() else ([path], [])
            if is_junk(below):
                files, junk = [], [*files, *junk]
            else:
                homes.append(path if path.is_dir() else path.parent)
            passed_over[LEFT_BEHIND].update(map(_place, junk))
            for file in files:
                if is_written(file):
                    passed_over[EARLIER].add(_place(file))
                else:
                    found.setdefault(_place(file), file)
                    count += 1
        if count == 0:
            known = "".join(f", {len(places)} {reason}" for reason, places in passed_over.items() if places)
            raise ValueError(f"{source}: no photographs here{known}; name a file, a folder, a list or a pattern")
    home = Path(os.path.commonpath(homes))
    named = {file.relative_to(home).as_posix(): file for file in sorted(found.values())}
    return Photographs(named, {reason: len(places) for reason, places in passed_over.items() if places})


def _place(file: Path) -> Path:
    """Return where a file lies: a folder that links into itself holds it under many names, but in one place."""
    return Path(os.path.realpath(file.parent), file.name)


def written_by_prediction(out: Path) -> Callable[[Path], bool]:
    """Return what tells whether a prediction or a scoring wrote a file, into `out` or, some time, anywhere else."""
    is_output = functools.cache(functools.partial(_is_output, os.path.realpath(out)))

    def is_written(file: Path) -> bool:
        if file.parent.name.startswith(VERSION) and (file.suffix == ".parquet" or file.name == DRIFT):
            return True
        return any(map(is_output, _folders_of_output(file)))

    return is_written


def _paths_of(source: str) -> list[tuple[Path, str]]:
    """Return files and folders as absolute paths, links kept, each with the part that only a pattern found.

    That part may make it junk; a person who names a file by its whole path means it.
    """
    path = _absolute(source)
    if path.is_file() and path.suffix.lower() in LISTS:
        return [(each, "") for each in _read_list(path)]
    if path.exists():
        return [(path, "")]
    if glob.has_magic(source) and (matches := list(_matches(Path(source).parts))):
        return matches
    raise ValueError(
        f"{source}: {'nothing matches this pattern' if glob.has_magic(source) else 'no such file or folder'}; "
        "name a photograph, a folder, a list of paths (.txt) or a pattern in quotes"
    )


def _matches(pattern: Sequence[str]) -> Iterator[tuple[Path, str]]:
    """Yield what a pattern matches, and the part of its path that the pattern leaves open."""
    said = next(place for place, part in enumerate(pattern) if glob.has_magic(part))
    if "**" not in pattern:
        for match in sorted(glob.glob(os.path.join(*pattern))):  # noqa: PTH118, PTH207  # it may be absolute
            yield _absolute(match), "/".join(Path(match).parts[said:])
        return
    # `glob` itself would follow links that lead back, again and again.
    home = _absolute(Path(*pattern[:said]))
    files, junk = files_under(home)
    for file in sorted([*files, *junk]):
        if _fits(file.relative_to(home).parts, pattern[said:]):
            yield file, file.relative_to(home).as_posix()


def _fits(parts: Sequence[str], pattern: Sequence[str]) -> bool:
    """Whether a path matches a pattern, in which ** stands for any number of folders, and at its end for anything."""
    if not pattern:
        return not parts
    if pattern[0] == "**":
        return any(_fits(parts[start:], pattern[1:]) for start in range(len(parts) + 1))
    return bool(parts) and fnmatch.fnmatchcase(parts[0], pattern[0]) and _fits(parts[1:], pattern[1:])


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
