"""SHA-256 of many files, of which only those that are new or look changed are read again."""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from stages.files import atomic_file, file_digest

YOUNG_NS = 2 * 10**9
"""A file that was changed this shortly before a look, ns, may change again within the tick of its clock."""


def content_digests(files: Mapping[str, Path], home: Path, memory: Path) -> dict[str, str]:
    """Return the SHA-256 of each file by its name; a file that cannot be read has the reason in its place.

    Times of modification differ between copies of the same data, so they only say which file to read again: two
    machines with the same files find the same digests.

    Args:
        files: Paths by name.
        home: The folder that the names belong to.
        memory: Folder that keeps size, time and digest of each file until the next call for the same names and home.
    """
    store = memory / f"{hashlib.sha256(str(home.absolute()).encode()).hexdigest()[:16]}.json"
    known = _recall(store)
    now = time.time_ns()
    facts = {name: _fact(path) for name, path in files.items()}
    unread = [name for name, fact in facts.items() if known.get(name, [None])[:-1] != fact]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        digests = dict(zip(unread, pool.map(_digest, (files[name] for name in unread)), strict=True))
    if digests:
        # Files of other categories of the same home stay known.
        young = {name: -1 if now - facts[name][1] < YOUNG_NS else facts[name][1] for name in unread}
        known |= {name: [facts[name][0], young[name], digests[name]] for name in unread}
        with atomic_file(store) as draft:
            draft.write_text(json.dumps(known), encoding="utf-8")
    return {name: str(known[name][-1]) for name in facts}


def _recall(store: Path) -> dict[str, list[int | str]]:
    try:
        known: dict[str, list[int | str]] = json.loads(store.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}  # it only saves time
    return known


def _fact(path: Path) -> list[int]:
    try:
        status = path.stat()
    except OSError:
        return [-1, -1]
    return [status.st_size, status.st_mtime_ns]


def _digest(path: Path) -> str:
    try:
        return file_digest(path)
    except OSError as error:
        return f"unreadable: {error.strerror}"
