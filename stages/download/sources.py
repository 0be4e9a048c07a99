"""Find the folder that holds a data set: on the mirror, otherwise from its sources, in order."""

import fcntl
import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from stages.command import TemporaryError
from stages.common.dataset import DatasetConfig
from stages.download import bucket
from stages.download.fetch import FetchConfig, fetch_file
from stages.download.transfer import Interrupted
from stages.download.unpack import SUFFIXES, unpack
from stages.download.watch.places import local_path, package_folder, places_of, refusal, select_category
from stages.download.watch.versions import ask, list_bucket
from stages.files import atomic_folder, file_digest, read_json, write_json

log = logging.getLogger(__name__)


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
    refusals: list[str] = []
    kind = ValueError
    for url, sha256 in places_of(dataset, category, mirror):
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
    raise kind(refusal(refusals, dataset))


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
        return unpacked(config, archive, sha256, cache)
    if url.startswith("s3://") and not url.endswith(SUFFIXES):
        return _bucket_folder(config, url, category, cache)
    return _fetched(config, url, sha256, cache)


def unpacked(config: FetchConfig, archive: Path, sha256: str | None, cache: Path) -> Path:
    """Return the folder that an archive on this machine is unpacked to, which happens once.

    Raises:
        ValueError: If its checksum is another, or it cannot be unpacked.
    """
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
    stamp = _stamp(tree)
    with _locked(tree):
        if tree.is_dir() and sha256 is not None:
            return tree
        version = ""
        if sha256 is None:
            try:
                version = _version(url, config.timeout_s)
            except (Interrupted, ValueError) as error:
                if tree.is_dir():
                    return _kept(tree, error)
                # Otherwise fetching it, which is tried more than once, says what is wrong.
        if tree.is_dir() and version and stamp.is_file() and read_json(stamp) == {url: version}:
            return tree
        archive = tree.with_name(f"{tree.name}-{url.rsplit('/', 1)[-1][-100:] or 'archive'}")
        if archive.is_file():
            version = ""  # left by a process that was killed while unpacking it: nobody knows which version it is
        else:
            fetch_file(config, url, archive, sha256)
        stamp.unlink(missing_ok=True)
        try:
            _publish_archive(config, archive, tree)
        finally:
            archive.unlink(missing_ok=True)
        write_json(stamp, {url: version})
    return tree


def _version(url: str, timeout_s: float) -> str:
    """Ask for the version of an archive; "" if its server does not tell versions apart."""
    return list_bucket(url, timeout_s).get("", "") if url.startswith("s3://") else ask(url, timeout_s)


def _kept(tree: Path, error: Exception) -> Path:
    """Return what was fetched before from a place that cannot be asked; without it, the error stands.

    Raises:
        Interrupted: If nothing was fetched, and the place did not answer.
        ValueError: If nothing was fetched, and the place refused.
    """
    if not tree.is_dir():
        raise error
    log.warning("what was fetched before is used, and may be old: %s", error)
    return tree


def _stamp(tree: Path) -> Path:
    """The file beside a fetched tree that holds the version of what it was made from."""
    return tree.with_name(f"{tree.name}.json")


def _publish_archive(config: FetchConfig, archive: Path, tree: Path) -> None:
    with atomic_folder(tree) as draft:
        unpack(archive, draft, max_bytes=config.max_unpacked_mib << 20, max_files=config.max_files)


def _bucket_folder(config: FetchConfig, url: str, category: str, cache: Path) -> Path:
    tree = cache / _key(url, category)
    stamp = _stamp(tree)
    with _locked(tree):
        try:
            listing = list(bucket.list_objects(f"{url.rstrip('/')}/", config.timeout_s))
        except (Interrupted, ValueError) as error:
            return _kept(tree, error)
        objects = select_category({stored.name: stored for stored in listing}, category)
        if not objects:
            return _bucket_archive(config, url, cache)
        size = sum(stored.size for stored in objects.values())
        if len(objects) > config.max_files or size > config.max_unpacked_mib << 20:
            raise ValueError(
                f"{url}: {len(objects)} files of {size >> 20} MiB are more than "
                "download.fetch.max_files and max_unpacked_mib allow"
            )
        versions = {name: f"{stored.size} {stored.tag}" for name, stored in objects.items()}
        known = read_json(stamp) if tree.is_dir() and stamp.is_file() else {}
        if versions == known:
            return tree
        kept = [name for name in versions if versions[name] == known.get(name) and (tree / name).is_file()]
        with atomic_folder(tree) as draft:
            for name in kept:
                (draft / name).parent.mkdir(parents=True, exist_ok=True)
                (draft / name).hardlink_to(tree / name)
            new = [name for name in versions if name not in set(kept)]
            bucket.copy_objects(url, new, draft, timeout_s=config.timeout_s, attempts=config.attempts)
            stamp.unlink(missing_ok=True)
        write_json(stamp, versions)
    return tree


def _bucket_archive(config: FetchConfig, url: str, cache: Path) -> Path:
    found = {stored.name for stored in bucket.list_objects(url, config.timeout_s)}
    suffix = next((s for s in SUFFIXES if s in found), None)
    if suffix is None:
        raise ValueError(f"{url}: no object below it, and no archive of that name")
    return _fetched(config, f"{url}{suffix}", None, cache)


def _key(*parts: str) -> str:
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


@contextmanager
def _locked(tree: Path) -> Iterator[None]:
    """Let only one process fetch a tree: DVC may run several categories of one archive at the same time."""
    tree.parent.mkdir(parents=True, exist_ok=True)
    with tree.with_name(f"{tree.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
