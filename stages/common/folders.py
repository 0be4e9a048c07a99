"""The files below a folder, as people keep them: links are followed, and what programs leave behind is told apart."""

import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

JUNK = frozenset(
    {
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "@recycle", "#recycle", "__macosx"),
        *("$recycle.bin", "system volume information"),
    }
)
"""Files and folders that file managers, network drives and archivers leave behind, in lower case; so is whatever
begins with a dot: `.ipynb_checkpoints`, `.thumbnails`, `._photograph.jpg`."""

MAX_LINKS = 2
"""Links to folders on one path: folders that link to each other have files under more names than anyone can count."""

LEFT_BEHIND = "hidden, or left behind by a file manager or a notebook"
"""Why junk is passed over."""


class Below(NamedTuple):
    """What lies below a folder."""

    files: list[Path]
    """Sorted, each below the folder as it was named; a file has one name, whatever links lead to its folder."""
    junk: list[Path]
    """Files that are junk by some part of their path; one name for each too."""


def is_junk(name: str) -> bool:
    """Whether a relative path, with forward slashes, has a part that no photograph has."""
    return any(part.startswith(".") or part.lower() in JUNK for part in name.split("/"))


def walk(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Walk through the files below a folder in any order, each with whether it is junk by a part of its path.

    Links to folders are followed, but not into a folder that they lie in, and not more than `MAX_LINKS` on one path. A
    link that leads nowhere counts as a file, so that it is missed.
    """
    if folder.is_dir():
        yield from _walk(folder, frozenset(map(str, Path(os.path.realpath(folder)).parents)), junk=False, links=0)


def _walk(folder: Path, above: frozenset[str], *, junk: bool, links: int) -> Iterator[tuple[Path, bool]]:
    real = os.path.realpath(folder)
    if real in above or links > MAX_LINKS:
        return
    with os.scandir(folder) as entries:
        for entry in entries:
            is_left_behind = junk or is_junk(entry.name)
            if entry.is_dir():
                deeper = links + entry.is_symlink()
                yield from _walk(Path(entry.path), above | {real}, junk=is_left_behind, links=deeper)
            elif entry.is_file() or entry.is_symlink():
                yield Path(entry.path), is_left_behind


def files_under(folder: Path) -> Below:
    """List each file once: under the name that it has without links, if it has one."""
    real = functools.cache(os.path.realpath)
    home = real(folder)

    def place(path: Path) -> str:
        return os.path.join(real(path.parent), path.name)  # noqa: PTH118  # many paths: text is faster

    def has_links(path: Path) -> bool:
        return place(path) != os.path.join(home, path.relative_to(folder))  # noqa: PTH118  # as above

    found: dict[str, tuple[Path, bool]] = {}
    for path, junk in sorted(walk(folder), key=lambda each: (has_links(each[0]), each[0])):
        found.setdefault(place(path), (path, junk))
    return Below(
        sorted(path for path, junk in found.values() if not junk), [path for path, junk in found.values() if junk]
    )
