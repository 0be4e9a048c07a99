"""Name a folder of photographs in params.yaml: `diffusionad init FOLDER`."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from diffusionad.detectors import check_kind
from stages.common.dataset import DatasetConfig, Layout
from stages.download.fetch import FetchConfig
from stages.download.layouts.choice import FINDERS
from stages.download.layouts.listing import Listing, files_below
from stages.download.layouts.recognise import Fit, layouts_to_try, recognise
from stages.download.sources import unpacked
from stages.download.unpack import SUFFIXES
from stages.download.watch.places import CACHE
from stages.files import atomic_file
from stages.params import PARAMS, Category, check_names, read_section
from stages.tools.settings import load, round_trip

UNSTATED = "not stated"
SHOWN = 3
"""Names of files or reasons that a line shows of many."""


class Wish(NamedTuple):
    """What a command line may say of a folder."""

    name: str | None
    """Key of the data set; None for the name of the folder."""
    layout: str | None
    """None to recognise it."""
    categories: tuple[str, ...]
    """None but these; all that are found if empty."""
    detector: str | None
    """None for that of the first category in params.yaml that names one."""
    licence: str | None
    licence_url: str


def init(folder: Path, wish: Wish, cache: Path = CACHE, params: Path = PARAMS) -> Iterator[str]:
    """Look at a folder or an archive, write its entries below `datasets` and `categories`, and say what was found.

    Args:
        folder: Folder of a data set or of one category of it, or an archive of one.
        wish: What is not to be recognised or taken from the folder's name.
        cache: Folder that archives are unpacked into.
        params: The file to write to; comments and all else in it stay.

    Yields:
        What was recognised and counted, what was written, and the command to run next.

    Raises:
        ValueError: If no layout fits or several do, or a name is taken. Nothing is written then.
    """
    yaml = round_trip()
    content = load(yaml, params)
    place = folder.expanduser().resolve()
    datasets = content.setdefault("datasets", {})
    name = wish.name or next((key for key in datasets if _is_of(place, datasets[key])), _key(place))
    known = datasets.get(name) or {}
    fit = _choose(place, _root(place, cache, params), wish, known)
    listings = _wanted(fit, wish, place)
    yield f"{place}: layout `{fit.layout}`, which accounts for {fit.score} files"
    for category, listing in listings.items():
        yield from _counts(category, listing)
    yield from _rest(place, fit)
    detector = wish.detector or _first_detector(content, params)
    check_kind(detector)
    entries = {_stage_key(name, category): (category, detector) for category in listings}
    _write_dataset(content, name, known, place, fit.layout, wish, params)
    _write_categories(content, name, entries, params)
    check_names(content, params)
    with atomic_file(params) as draft:
        yaml.dump(content, draft)
    yield f"{params}: wrote `datasets.{name}` and {', '.join(f'`categories.{key}`' for key in entries)}"
    if content["datasets"][name]["licence"] == UNSTATED:
        yield f"say whose photographs they are: `licence`, `licence_url` and `non_commercial` of `datasets.{name}`"
    yield "next: .venv/bin/dvc repro " + " ".join(f"evaluate@{key} benchmark@{key}" for key in entries)


def _key(place: Path) -> str:
    stem = next((place.name.removesuffix(s) for s in SUFFIXES if place.name.endswith(s)), place.name)
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem).lstrip("-") or "data"


def _is_of(place: Path, dataset: dict[str, Any]) -> bool:
    """Whether params.yaml describes the data set of a folder already, as a published one, by its name on a mirror."""
    return _key(place) in dataset.get("mirror_names", ())


def _root(place: Path, cache: Path, params: Path) -> Path:
    if place.is_dir():
        return place
    if not place.is_file():
        raise ValueError(f"{place}: no such folder or archive; name the folder that holds the photographs")
    return unpacked(read_section(FetchConfig, "download.fetch", params), place, None, cache)


def _choose(place: Path, root: Path, wish: Wish, known: dict[str, Any]) -> Fit:
    if wish.layout is not None and wish.layout not in FINDERS:
        raise ValueError(f"--layout {wish.layout}: there is no such layout; expected one of {', '.join(FINDERS)}")
    layouts = [layout for layout in FINDERS if layout == wish.layout] if wish.layout else layouts_to_try()
    preferred: Layout | None = known.get("layout") if _is_of(place, known) else None
    fits = recognise(root, layouts, preferred)
    if not fits:
        raise ValueError(
            f"{place}: no layout of {', '.join(layouts)} fits; expected normal images in train/good and test/good and "
            "defects in test/<defect>, or another layout of docs/data.md"
        )
    if len(fits) > 1:
        ways = " or ".join(f"`{fit.layout}`" for fit in fits)
        raise ValueError(
            f"{place}: can be read as {ways}, with {fits[0].score} files each; say which, as --layout NAME"
        )
    return fits[0]


def _wanted(fit: Fit, wish: Wish, place: Path) -> dict[str, Listing]:
    if missing := [name for name in wish.categories if name not in fit.categories]:
        raise ValueError(f"{place}: no category {', '.join(missing)}; it holds {', '.join(fit.categories)}")
    return {name: fit.categories[name] for name in wish.categories or fit.categories}


def _counts(category: str, listing: Listing) -> Iterator[str]:
    counts = Counter((item.split or "split to be drawn", item.label) for item in listing.items)
    splits = dict.fromkeys(split for split in ("train", "val", "test", "split to be drawn") if (split, 0) in counts)
    splits |= dict.fromkeys(split for split, _ in counts)
    text = "; ".join(f"{split}: {counts[split, 0]} normal, {counts[split, 1]} anomalous" for split in splits)
    yield f"  {category}: {text}; {sum(item.mask is not None for item in listing.items)} masks"
    for reason, images in listing.left_out.items():
        yield f"    left out: {len(images)} images, {reason}"
    if listing.orphans:
        shown = ", ".join(listing.orphans[:SHOWN])
        yield f"    {len(listing.orphans)} masks or annotations without an image: {shown}"


def _rest(place: Path, fit: Fit) -> Iterator[str]:
    if place.is_dir():
        used = set()
        for listing in fit.categories.values():
            names = [name for item in listing.items for name in (item.path, item.mask or "", *item.parts)]
            used |= {listing.home / name for name in (*names, *listing.orphans)}
        rest = [path.relative_to(place).as_posix() for path in files_below(place) if path not in used]
        if rest:
            yield f"  {len(rest)} other files (tables, notes, what is left out): {', '.join(rest[:SHOWN])}"


def _first_detector(content: dict[str, Any], params: Path) -> str:
    entries = (content.get("categories") or {}).values()
    found = next((entry["detector"] for entry in entries if entry.get("detector")), None)
    if found is None:
        raise ValueError(f"{params}: no category names a detector; say one, as --detector ensemble")
    return str(found)


def _stage_key(name: str, category: str) -> str:
    text = name if category in ("all", name) else f"{name}-{category}"
    return re.sub(r"[^A-Za-z0-9_-]+", "_", text)


def _write_dataset(
    content: dict[str, Any], name: str, known: dict[str, Any], place: Path, layout: Layout, wish: Wish, params: Path
) -> None:
    source = {"url": str(place), "sha256": None}
    if known:
        # A published data set that params.yaml describes already: its licence and terms stay, the folder comes first.
        if known["layout"] != layout or not _is_of(place, known):
            raise ValueError(f"{params}: `datasets.{name}` exists, for other data; say another name, as --name NAME")
        if source not in known["sources"]:
            known["sources"].insert(0, source)
        return
    entry = {
        "layout": layout,
        "sources": [source],
        "mirror_names": [name],
        "terms": None,
        "licence": wish.licence or UNSTATED,
        "licence_url": wish.licence_url,
        "non_commercial": wish.licence is None,
        "foreground": "auto",
    }
    DatasetConfig.model_validate(entry, strict=False)
    content["datasets"][name] = entry


def _write_categories(content: dict[str, Any], name: str, entries: dict[str, tuple[str, str]], params: Path) -> None:
    categories = content.setdefault("categories", {})
    for key, (category, detector) in entries.items():
        entry = {"dataset": name, "category": category, "detector": detector}
        if not re.fullmatch(str(Category.model_fields["category"].metadata[0].pattern), category):
            raise ValueError(
                f"{category!r}: the folder of a category is named by letters, digits, _, - and .; rename it"
            )
        if key in categories and categories[key].get("category") != category:
            raise ValueError(f"{params}: `categories.{key}` exists, for other data; say another name, as --name NAME")
        categories.setdefault(key, entry)
