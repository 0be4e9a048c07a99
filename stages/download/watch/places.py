"""The places that a data set may be at, in the order in which they are tried."""

import importlib.util
import os
from pathlib import Path
from typing import NamedTuple, TypeVar
from urllib.parse import unquote, urlsplit

from ruamel.yaml import YAML

from stages.common.dataset import DatasetConfig
from stages.params import PARAMS

CACHE = Path(".local/downloads")
"""Fetched and unpacked data, for the other categories of an archive; safe to delete."""

V = TypeVar("V")


class Place(NamedTuple):
    """One place."""

    url: str
    """Address or path, of an archive or a folder."""
    sha256: str | None
    """Checksum that the settings state for its archive."""


def places_of(dataset: DatasetConfig, category: str, mirror: str | None) -> list[Place]:
    """List the places of a data set: the mirror under each of its names, then the sources.

    Args:
        dataset: Its sources and its names on a mirror.
        category: Name that replaces {category} in an address.
        mirror: Folder, or file:// or s3:// prefix, that holds data sets or their archives by name; None for none.
    """
    found = [Place(f"{mirror.rstrip('/')}/{name}", None) for name in dataset.mirror_names] if mirror else []
    found += [Place(source.url, source.sha256) for source in dataset.sources]
    return [place._replace(url=place.url.replace("{category}", category)) for place in found]


def read_mirror(params: Path = PARAMS) -> str | None:
    """Return the mirror that DATA_MIRROR names, or else the settings; None for none."""
    named: str | None = os.environ.get("DATA_MIRROR") or YAML(typ="safe").load(params)["download"]["mirror"]
    return named


def refusal(refusals: list[str], dataset: DatasetConfig) -> str:
    """Say why no place has a data set: one line for each that was tried, and the way out."""
    lines = refusals or ["no source and no mirror is named for this data set"]
    advice = dataset.terms or "name a mirror with DATA_MIRROR or download.mirror, or add a source to `datasets`"
    return "\n".join([*lines, advice])


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
