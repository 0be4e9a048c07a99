"""Look at the source of a category's data in every `dvc repro`, and write a fingerprint that stage `download` needs.

DVC runs this first, always (`always_changed` in dvc.yaml). As long as the source holds the same, the fingerprint stays
the same byte for byte, and nothing after it runs.
"""

import hashlib
import json
import logging
import os
from pathlib import Path
from typing import NamedTuple

from stages import command
from stages.command import TemporaryError
from stages.common.dataset import DatasetConfig
from stages.download.fetch import FetchConfig
from stages.download.transfer import Interrupted
from stages.download.watch.places import places_of, read_mirror, refusal
from stages.download.watch.settings import check_settings
from stages.download.watch.versions import list_place
from stages.files import read_json, write_json
from stages.params import read_section
from stages.paths import CategoryPaths

log = logging.getLogger(__name__)

MEMORY = Path(".local", "watch")
"""What was hashed before; safe to delete."""
SWITCH = "WATCH_SOURCES"
"""Variable that keeps a known fingerprint without a look if it is `no`, as a reproduction of earlier results needs."""
PATIENCE_S = 3
"""Longest wait for an answer, s, where a fingerprint is known: a machine without a network should not wait for one."""


class Fingerprint(NamedTuple):
    """source.json: what the source of a category holds. It names no place, so machines with the same data agree."""

    files: int
    """Number of files, or 1 for an archive or a package."""
    sha256: str
    """Digest of their names and versions."""


class Seen(NamedTuple):
    """The result of a look."""

    url: str
    """The place that holds the data."""
    fingerprint: Fingerprint


def look(
    dataset: DatasetConfig,
    category: str,
    mirror: str | None,
    *,
    timeout_s: float,
    is_known: bool,
    memory: Path = MEMORY,
) -> Seen:
    """Take the fingerprint of the first place that holds a data set.

    Args:
        dataset: The data set's sources and its names on a mirror.
        category: Name of the category; what other categories hold does not count, where folders tell.
        mirror: Folder or prefix that holds data sets by name; None for none.
        timeout_s: Longest wait for an answer, s.
        is_known: Whether the caller has an earlier fingerprint. Then a place that does not answer is not passed over:
            it may hold what that fingerprint is of, and the places after it other data.
        memory: Folder that keeps what was hashed before.

    Raises:
        TemporaryError: If a place does not answer, and an earlier fingerprint is known or no other place has the data.
        ValueError: If no place has the data: one line for each place that was tried.
    """
    refusals: list[str] = []
    kind = ValueError
    for place in places_of(dataset, category, mirror):
        try:
            versions = list_place(place, category, timeout_s, memory)
        except Interrupted as error:
            refusals.append(f"{place.url}: {error}")
            kind = TemporaryError
            if is_known:
                break
        except (ValueError, OSError) as error:
            refusals.append(str(error))
        else:
            if versions:
                text = json.dumps(sorted(versions.items()))
                return Seen(place.url, Fingerprint(len(versions), hashlib.sha256(text.encode()).hexdigest()))
            refusals.append(f"{place.url}: nothing is there")
    raise kind("\n".join(refusals) or "no source and no mirror is named for this data set")


def refresh(dataset: DatasetConfig, paths: CategoryPaths, mirror: str | None, timeout_s: float) -> None:
    """Write the fingerprint of a category's source; if it cannot be looked at, keep the known one and say so.

    Raises:
        TemporaryError: If no fingerprint is known, and a place does not answer.
        ValueError: If no fingerprint is known, and no place has the data: a line for each place, and the way out.
    """
    is_known = paths.source.is_file()
    if is_known and os.environ.get(SWITCH) == "no":
        log.info("%s: the source is not looked at (%s=no)", paths, SWITCH)
        return
    last = MEMORY / f"{paths.dataset}.{paths.category}.json"
    try:
        patience_s = min(timeout_s, PATIENCE_S) if is_known else timeout_s
        seen = look(dataset, paths.category, mirror, timeout_s=patience_s, is_known=is_known)
        _hold_to(last if is_known else None, dataset, paths.category, mirror, seen.url)
    except ValueError as error:
        if not is_known:
            raise type(error)(refusal(str(error).splitlines(), dataset)) from None
        reason = "; ".join(str(error).splitlines())
        log.warning("%s: the source cannot be looked at, and counts as unchanged: %s", paths, reason)
    else:
        write_json(paths.source, seen.fingerprint._asdict())
        write_json(last, {"url": seen.url, "settings": dataset.model_dump_json()})


def _hold_to(last: Path | None, dataset: DatasetConfig, category: str, mirror: str | None, url: str) -> None:
    """Refuse a place that stands in for the one of the last look, as where a mirror is not mounted or not named.

    Raises:
        ValueError: If the place of the last look holds nothing now, and the settings are the same as then.
    """
    if last is None or not last.is_file():
        return
    before = read_json(last)
    urls = [place.url for place in places_of(dataset, category, mirror)]
    is_before = before["url"] in urls[urls.index(url) :]
    if before["settings"] == dataset.model_dump_json() and not is_before:
        raise ValueError(
            f"the data came from {before['url']}, which is not there; to take {url} instead, delete {last}"
        )


def _look(_key: str, paths: CategoryPaths) -> None:
    check_settings()
    timeout_s = read_section(FetchConfig, "download.fetch").timeout_s
    refresh(read_section(DatasetConfig, f"datasets.{paths.dataset}"), paths, read_mirror(), timeout_s)


def main() -> None:
    command.run(_look)
