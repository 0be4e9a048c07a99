"""Has anything changed since the last retraining? Listings and git answer that; no image is read."""

import json
import os
import urllib.error
import urllib.request
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from ruamel.yaml import YAML

from pipelines.catalogue import Entry
from pipelines.digests import text_digest
from pipelines.errors import TransientError
from pipelines.repository.git import git
from stages.common.dataset import DatasetConfig
from stages.download import bucket
from stages.download.fetch import FetchConfig
from stages.download.sources import local_path, select_category
from stages.download.transfer import Interrupted
from stages.download.unpack import SUFFIXES
from stages.files import write_json
from stages.params import DETECTORS, PARAMS, read_section

STATES = Path(".local", "retraining")
CODE = ("diffusionad", "stages", "dvc.yaml", str(PARAMS), DETECTORS.as_posix())
"""The code and settings in git that decide a result, beside the data."""


class SourceState(NamedTuple):
    """The data, code and settings that a retraining started from."""

    data: str
    """Digest of the listing of the source."""
    code: str
    """Digest of the committed code and settings."""
    stages: dict[str, Any]
    """Entries of the category in dvc.lock when the retraining ended; {} until then."""

    def differs(self, last: "SourceState | None") -> tuple[str, ...]:
        """Name what has changed since `last`."""
        if last is None:
            return ("first retraining",)
        parts = {"data": self.data != last.data, "code or settings": self.code != last.code}
        return tuple(name for name, changed in parts.items() if changed)


def current_state(entry: Entry, folder: Path) -> SourceState:
    """Look up the current state of a category's source and of a checkout's last commit.

    Raises:
        TransientError: If a server does not answer.
        ValueError: If no source has the data, or the folder is not a git repository with a commit.
    """
    dataset = read_section(DatasetConfig, f"datasets.{entry.paths.dataset}", folder / PARAMS)
    fetch = read_section(FetchConfig, "download.fetch", folder / PARAMS)
    mirror = os.environ.get("DATA_MIRROR") or YAML(typ="safe").load(folder / PARAMS)["download"]["mirror"]
    places = [f"{mirror.rstrip('/')}/{name}" for name in dataset.mirror_names] if mirror else []
    places += [source.url for source in dataset.sources]
    refusals = []
    for place in (place.replace("{category}", entry.paths.category) for place in places):
        try:
            listing = list_source(place, entry.paths.category, fetch.timeout_s)
        except TransientError:
            raise
        except ValueError as error:
            refusals.append(str(error))
            continue
        if listing:
            return SourceState(text_digest(json.dumps(sorted(listing.items()))), _code(folder), {})
        refusals.append(f"{place}: nothing is there")
    raise ValueError("; ".join(refusals) or f"{entry.paths.dataset}: no source and no mirror is named")


def list_source(place: str, category: str, timeout_s: float) -> dict[str, str]:
    """Return the version of each file of a source by its name: size and time, ETag, or release; {} if it has none.

    Of a source with several categories, only the files of the named one and those that all share are listed.

    Raises:
        TransientError: If a server does not answer.
        ValueError: If the source may not be read.
    """
    if place.startswith("package:"):
        name = place.removeprefix("package:")
        return {name: metadata.version(name)}
    path = local_path(place)
    if path is not None:
        return select_category(list_folder(path), category)
    try:
        if place.startswith("s3://"):
            return select_category(list_bucket(place, timeout_s), category)
        return _ask(place, timeout_s)
    except Interrupted as error:
        raise TransientError(f"{place}: {error}") from None


def list_folder(path: Path) -> dict[str, str]:
    """Return size and modification time of each file of a folder; without the folder, of the archives of its name."""
    if path.is_dir():
        files = [(file, file.relative_to(path).as_posix()) for file in path.rglob("*") if file.is_file()]
    else:
        archives = (path, *(Path(f"{path}{suffix}") for suffix in SUFFIXES))
        files = [(file, file.name) for file in archives if file.is_file()]
    statuses = [(name, file.stat()) for file, name in files]
    return {name: f"{status.st_size} {status.st_mtime_ns}" for name, status in statuses}


def list_bucket(url: str, timeout_s: float) -> dict[str, str]:
    """Return size and ETag of each object below a prefix, or of the archives of its name.

    Raises:
        Interrupted: If there is no answer.
        ValueError: If the bucket does not exist or may not be listed.
    """
    objects = bucket.list_objects(url.rstrip("/"), timeout_s)
    found = {stored.name: f"{stored.size} {stored.tag}" for stored in objects}
    below = {name[1:]: version for name, version in found.items() if name.startswith("/") and not name.endswith("/")}
    return below or {name: version for name, version in found.items() if name in ("", *SUFFIXES)}


def read_state(key: str, folder: Path) -> SourceState | None:
    """Return the state that the last retraining of a category started from; None before the first."""
    file = folder / STATES / f"{key}.json"
    return SourceState(**json.loads(file.read_text(encoding="utf-8"))) if file.is_file() else None


def write_state(key: str, state: SourceState, folder: Path) -> None:
    """Store the state that a retraining started from, once it has succeeded."""
    write_json(folder / STATES / f"{key}.json", state._asdict())


def locked_stages(key: str, folder: Path) -> dict[str, Any]:
    """Return the entries of a category's stages in dvc.lock."""
    file = folder / "dvc.lock"
    stages = YAML(typ="safe").load(file)["stages"] if file.is_file() else {}
    return {name: content for name, content in stages.items() if name.endswith(f"@{key}")}


def _ask(url: str, timeout_s: float) -> dict[str, str]:
    request = urllib.request.Request(url, method="HEAD", headers={"User-Agent": "diffusionad-ops"})  # noqa: S310  # https or http, by DatasetConfig
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
            return {
                url: " ".join(str(answer.headers.get(name)) for name in ("ETag", "Last-Modified", "Content-Length"))
            }
    except urllib.error.HTTPError as error:
        error.close()
        raise ValueError(f"{url}: the server answered {error.code} {error.reason}") from None
    except OSError as error:
        raise TransientError(f"{url}: no answer ({getattr(error, 'reason', error)})") from None


def _code(folder: Path) -> str:
    try:
        trees = git(folder, "rev-parse", *(f"HEAD:{name}" for name in CODE))
    except ValueError:
        needed = ", ".join(CODE)
        raise ValueError(
            f"{folder}: a retraining works on committed code, and git has no commit of {needed} here"
        ) from None
    return text_digest(f"{trees}\n")
