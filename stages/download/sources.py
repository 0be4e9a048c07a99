"""Find the folder that holds a data set: on the mirror, otherwise from its sources, in order."""

import fcntl
import hashlib
import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar
from urllib.parse import unquote, urlsplit

from stages.command import TemporaryError
from stages.common.dataset import DatasetConfig
from stages.download import bucket
from stages.download.fetch import FetchConfig, fetch_file
from stages.download.transfer import Interrupted
from stages.download.unpack import SUFFIXES, unpack
from stages.files import atomic_folder, file_digest

V = TypeVar("V")


def find_root(config: FetchConfig, dataset: DatasetConfig, category: str, mirror: str | None, cache: Path) -> Path:
    """Return the folder of a data set, fetched and unpacked if necessary.

    Args:
        config: Timeouts, number of attempts and size limits.
        dataset: The data set's sources and its names on a mirror.
        category: Name that replaces {category} in an address; from a folder of a bucket only this category is fetched.
        mirror: Folder, or file:// or s3:// prefix, that holds data sets or their archives by name; None for none.
        cache: Folder for fetched data; shared by categories, safe to delete.

    Raises:
        TemporaryError: If no place has the data set, but one did not answer.
        ValueError: If no place has the data set: one line for each place that was tried, and the way out.
        OSError: If the disk is full.
    """
    places: list[tuple[str, str | None]] = []
    if mirror:
        places += [(f"{mirror.rstrip('/')}/{name}", None) for name in dataset.mirror_names]
    places += [(source.url, source.sha256) for source in dataset.sources]
    refusals: list[str] = []
    kind = ValueError
    for place, sha256 in places:
        url = place.replace("{category}", category)
        try:
            return _obtain(config, url, sha256, category, cache)
        except TemporaryError as error:
            refusals.append(str(error))
            kind = TemporaryError
        except Interrupted as error:
            refusals.append(f"{url}: {error}")
            kind = TemporaryError
        except ValueError as error:
            refusals.append(str(error))
    if not refusals:
        refusals.append("no source and no mirror is named for this data set")
    advice = dataset.terms or "name a mirror with DATA_MIRROR or download.mirror, or add a source to `datasets`"
    raise kind("\n".join([*refusals, advice]))


def local_path(url: str) -> Path | None:
    """Return the path that `file://...` or a plain path names; None for any other scheme."""
    if url.startswith("file://"):
        return Path(unquote(urlsplit(url).path))
    return None if "://" in url or url.startswith("package:") else Path(url).expanduser()


def package_folder(name: str) -> Path:
    """Return the folder `data` of an installed package, without importing the package.

    Raises:
        ValueError: If it is not installed.
    """
    spec = importlib.util.find_spec(name.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        raise ValueError(f"package:{name}: not installed; run `.venv/bin/pip install {name}`")
    return Path(next(iter(spec.submodule_search_locations)), "data")


def _obtain(config: FetchConfig, url: str, sha256: str | None, category: str, cache: Path) -> Path:
    if url.startswith("package:"):
        return package_folder(url.removeprefix("package:"))
    path = local_path(url)
    if path is not None:
        if path.is_dir():
            return path
        archive = next((p for p in (path, *(Path(f"{path}{s}") for s in SUFFIXES)) if p.is_file()), None)
        if archive is None:
            raise ValueError(f"{url}: no such folder or archive")
        return _unpacked(config, archive, sha256, cache)
    if url.startswith("s3://") and not url.endswith(SUFFIXES):
        return _bucket_folder(config, url, category, cache)
    return _fetched(config, url, sha256, cache)


def _unpacked(config: FetchConfig, archive: Path, sha256: str | None, cache: Path) -> Path:
    digest = file_digest(archive)
    if sha256 is not None and digest != sha256:
        raise ValueError(f"{archive}: expected SHA-256 {sha256}, got {digest}")
    tree = cache / digest[:16]
    with _locked(tree):
        if not tree.is_dir():
            _publish_archive(config, archive, tree)
    return tree


def _fetched(config: FetchConfig, url: str, sha256: str | None, cache: Path) -> Path:
    tree = cache / _key(url, sha256 or "")
    with _locked(tree):
        if not tree.is_dir():
            archive = tree.with_name(f"{tree.name}-{url.rsplit('/', 1)[-1][-100:] or 'archive'}")
            if not archive.is_file():
                fetch_file(config, url, archive, sha256)
            try:
                _publish_archive(config, archive, tree)
            finally:
                archive.unlink(missing_ok=True)
    return tree


def _publish_archive(config: FetchConfig, archive: Path, tree: Path) -> None:
    with atomic_folder(tree) as draft:
        unpack(archive, draft, max_bytes=config.max_unpacked_mib << 20, max_files=config.max_files)


def _bucket_folder(config: FetchConfig, url: str, category: str, cache: Path) -> Path:
    tree = cache / _key(url, category)
    with _locked(tree):
        if tree.is_dir():
            return tree
        listing = bucket.list_objects(f"{url.rstrip('/')}/", config.timeout_s)
        objects = select_category({stored.name: stored.size for stored in listing}, category)
        if not objects:
            return _bucket_archive(config, url, cache)
        if len(objects) > config.max_files or sum(objects.values()) > config.max_unpacked_mib << 20:
            raise ValueError(
                f"{url}: {len(objects)} files of {sum(objects.values()) >> 20} MiB are more than "
                "download.fetch.max_files and max_unpacked_mib allow"
            )
        with atomic_folder(tree) as draft:
            bucket.copy_objects(url, list(objects), draft, timeout_s=config.timeout_s, attempts=config.attempts)
    return tree


def _bucket_archive(config: FetchConfig, url: str, cache: Path) -> Path:
    found = {stored.name for stored in bucket.list_objects(url, config.timeout_s)}
    suffix = next((s for s in SUFFIXES if s in found), None)
    if suffix is None:
        raise ValueError(f"{url}: no object below it, and no archive of that name")
    return _fetched(config, f"{url}{suffix}", None, cache)


def select_category(objects: dict[str, V], category: str) -> dict[str, V]:
    """Keep the objects of one category and those that all categories share.

    Args:
        objects: Any value by key, relative to the folder of the data set.
        category: Name of the category. If no folder has this name, everything is kept.
    """
    if not any(name.startswith(f"{category}/") for name in objects):
        return objects
    shared = ("split_csv/", f"{category}/")
    return {name: size for name, size in objects.items() if name.startswith(shared) or "/" not in name}


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@contextmanager
def _locked(tree: Path) -> Iterator[None]:
    """Let only one process fetch a tree: DVC may run several categories of one archive at the same time."""
    tree.parent.mkdir(parents=True, exist_ok=True)
    with tree.with_name(f"{tree.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
