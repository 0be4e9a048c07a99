"""What a place holds, without fetching it: the version of each file by its name."""

import http.client
import urllib.error
import urllib.request
from importlib import metadata
from pathlib import Path

from stages.download import bucket
from stages.download.layouts.listing import files_below
from stages.download.transfer import Interrupted
from stages.download.unpack import SUFFIXES
from stages.download.watch.contents import content_digests
from stages.download.watch.places import Place, local_path, package_folder, select_category

VALIDATORS = ("ETag", "Last-Modified", "Content-Length")
"""Headers by which a server tells one version of a file from another."""
NO_HEAD = (http.client.FORBIDDEN, http.client.METHOD_NOT_ALLOWED, http.client.NOT_IMPLEMENTED)
"""Answers of servers that let a file be fetched but not be asked for its headers alone."""


def list_place(place: Place, category: str, timeout_s: float, memory: Path) -> dict[str, str]:
    """Return the version of each file of a place by its name; {} if nothing is there.

    A version is the SHA-256 of a file on this machine, the size and ETag of an object, what the headers of a server
    say, the release of a package, or the checksum that the settings state, which needs no question. Of a place with
    several categories, only the files of the named one and those that all share are listed.

    Args:
        place: Address or path, and its checksum.
        category: Name of the category.
        timeout_s: Longest wait for an answer, s.
        memory: Folder that keeps what was hashed before, so that only new and changed files are read.

    Raises:
        Interrupted: If a server does not answer.
        ValueError: If the place may not be read, or a package is not installed.
        OSError: If a folder may not be listed.
    """
    if place.url.startswith("package:"):
        name = place.url.removeprefix("package:")
        package_folder(name)
        return {name: metadata.version(name)}
    path = local_path(place.url)
    if path is not None:
        return content_digests(select_category(files_of(path), category), path, memory)
    if place.sha256 is not None:
        return {place.url: place.sha256}
    if place.url.startswith("s3://"):
        return select_category(list_bucket(place.url, timeout_s), category)
    return {place.url: ask(place.url, timeout_s)}


def files_of(path: Path) -> dict[str, Path]:
    """Return the files below a folder by their relative names; without the folder, the first archive of its name."""
    if path.is_dir():
        return {file.relative_to(path).as_posix(): file for file in files_below(path)}
    archives = (path, *(Path(f"{path}{suffix}") for suffix in SUFFIXES))
    return {file.name: file for file in [file for file in archives if file.is_file()][:1]}


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


def ask(url: str, timeout_s: float) -> str:
    """Return what a web server says of the version of a file; "" if it says nothing.

    Raises:
        Interrupted: If there is no answer, or one that may pass.
        ValueError: If the server refuses.
    """
    try:
        return _headers(url, "HEAD", timeout_s)
    except urllib.error.HTTPError as error:
        if error.code not in NO_HEAD:
            _refuse(url, error)
    try:
        return _headers(url, "GET", timeout_s)  # closed before the content is read
    except urllib.error.HTTPError as error:
        _refuse(url, error)
    return ""


def _headers(url: str, method: str, timeout_s: float) -> str:
    request = urllib.request.Request(url, method=method, headers={"User-Agent": "diffusionad-ops"})  # noqa: S310  # https or http, by DatasetConfig
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as answer:  # noqa: S310
            return "; ".join(f"{name}: {value}" for name in VALIDATORS if (value := answer.headers.get(name)))
    except urllib.error.HTTPError:
        raise
    except (OSError, http.client.HTTPException) as error:
        raise Interrupted(f"no answer ({getattr(error, 'reason', error)})") from None


def _refuse(url: str, error: urllib.error.HTTPError) -> None:
    error.close()
    reason = f"the server answered {error.code} {error.reason}"
    if error.code >= http.client.INTERNAL_SERVER_ERROR or error.code == http.client.TOO_MANY_REQUESTS:
        raise Interrupted(reason)
    raise ValueError(f"{url}: {reason}")
