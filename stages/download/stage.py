"""Fetch one category of a data set, split it, and check it against its contract."""

import logging
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import pandas as pd
from pydantic import Field

from diffusionad.data.manifest import manifest_digest, read_manifest, write_manifest
from diffusionad.section import Section
from stages import command
from stages.common.dataset import DatasetConfig
from stages.contracts.verdict import finding_lines, write_verdict
from stages.download.contract import ContractConfig, check_contract
from stages.download.evidence import collect
from stages.download.fetch import FetchConfig
from stages.download.layouts import choice as layouts
from stages.download.layouts.listing import Item, Listing
from stages.download.sources import find_root
from stages.download.splits import draw_splits, join_units
from stages.download.survey import Survey, lookalikes, remove_rest, survey
from stages.download.watch.places import CACHE, read_mirror
from stages.files import atomic_file, atomic_folder, write_json
from stages.params import read_section
from stages.paths import CategoryPaths

log = logging.getLogger(__name__)


class DownloadConfig(Section):
    """Section `download`."""

    seed: int = Field(ge=0, description="seed of the drawn splits")
    val_fraction: float = Field(ge=0, lt=1, description="share of the normal training images held out for validation")
    test_fraction: float = Field(
        ge=0, lt=1, description="share of the normal images for test, if the data set has no split"
    )
    mirror: str | None = Field(description="folder, file:// or s3:// prefix with data sets by name; null for none")
    max_megapixels_decoded: float = Field(
        ge=0,
        description="limit of all decoded images together; of further images only the header is read",
    )
    line_width_px: float = Field(gt=0, description="width of defects that are annotated as lines, px of the photograph")
    near_duplicate_bits: int = Field(
        ge=0, le=64, description="fingerprints that differ in at most so many of their 255 bits show the same picture"
    )
    fetch: FetchConfig
    contract: ContractConfig


def download(
    dataset: DatasetConfig, config: DownloadConfig, *, paths: CategoryPaths, mirror: str | None, cache: Path
) -> None:
    """Write the images folder, the manifest, the summary and the validation report of a category.

    Only data that pass their contract are put in place; otherwise the previous data stay, and the report goes to a
    folder `refused` beside its usual place.

    Args:
        dataset: Sources, layout and licence of the data set.
        config: Settings of the splits, the downloads and the contract.
        paths: Files to write; an existing manifest is the one that the data are compared with.
        mirror: Folder or prefix that holds data sets by name; None for none.
        cache: Folder for fetched data.

    Raises:
        ValueError: If the data cannot be fetched, or fail the contract: one line for each problem.
        OSError: If the disk is full.
    """
    log.info("licence of %s: %s %s", paths.dataset, _licence(dataset), dataset.licence_url)
    root = find_root(config.fetch, dataset, paths.category, mirror, cache)
    listing = layouts.find(dataset.layout, root, paths.category)
    with atomic_folder(paths.images) as draft:
        found = survey(listing, draft, config.max_megapixels_decoded, config.line_width_px)
        near = lookalikes(found.images, config.near_duplicate_bits)
        items, dropped = _split(config, listing, found, near)
        frame = _manifest(items, found, paths)
        left_out = {reason: len(images) for reason, images in listing.left_out.items()} | dropped
        for reason, count in left_out.items():
            log.warning("left out: %d images, %s", count, reason)
        summary = _summary(dataset, frame, left_out)
        _check(config, items, found, listing, near, summary, paths)
        remove_rest(draft, (path for item in items for path in (item.path, item.mask)))
    with atomic_file(paths.manifest) as file:
        write_manifest(frame, file, _metadata(dataset, config, paths))
    write_json(paths.summary, summary | {"manifest_sha256": manifest_digest(paths.manifest)})


def _split(
    config: DownloadConfig, listing: Listing, found: Survey, near: list[tuple[str, str, int]]
) -> tuple[list[Item], dict[str, int]]:
    number = {item.path: i for i, item in enumerate(listing.items)}
    digests = [found.images[item.path].sha256 or item.path for item in listing.items]
    units = join_units(listing.items, digests, ((number[a], number[b]) for a, b, _ in near))
    return draw_splits(
        listing.items, units, seed=config.seed, val_fraction=config.val_fraction, test_fraction=config.test_fraction
    )


def _check(
    config: DownloadConfig,
    items: list[Item],
    found: Survey,
    listing: Listing,
    near: list[tuple[str, str, int]],
    summary: dict[str, Any],
    paths: CategoryPaths,
) -> None:
    """Check the contract and write the validation report.

    Raises:
        ValueError: If a critical rule failed.
    """
    name = str(paths)
    accepted = read_manifest(paths.manifest) if paths.manifest.exists() else None
    split = {item.path: item.split for item in items}
    pairs = [(a, b, bits) for a, b, bits in near if a in split and b in split and split[a] != split[b]]
    alike = {a: f"{b} in {split[b]}, {bits} of 255 bits" for a, b, bits in pairs}
    evidence = collect(name, items, found.images, found.masks, listing.digests, listing.orphans, alike, accepted)
    findings = check_contract(config.contract, evidence)
    for line in finding_lines(findings, "warned"):
        log.warning("warning: %s", line)
    file, page = paths.validation, paths.validation_page
    if failed := finding_lines(findings, "failed"):
        page = page.parent / "refused" / page.name
        write_verdict(name, findings, summary, file=page.with_name(file.name), page=page)
        raise ValueError("\n".join([*failed, f"the data of {name} break their contract; see {page}"]))
    write_verdict(name, findings, summary, file=file, page=page)
    shutil.rmtree(page.parent / "refused", ignore_errors=True)


def _manifest(items: list[Item], found: Survey, paths: CategoryPaths) -> pd.DataFrame:
    rows = [
        {
            **{name: value for name, value in item._asdict().items() if name not in ("outline", "parts", "stated")},
            **{name: value for name, value in facts.items() if name not in ("fault", "orientation")},
            "category": paths.category,
            "dataset": paths.dataset,
        }
        for item, facts in ((item, found.images[item.path]._asdict()) for item in items)
    ]
    return pd.DataFrame(rows)


def _metadata(dataset: DatasetConfig, config: DownloadConfig, paths: CategoryPaths) -> dict[str, str]:
    return {
        "dataset": paths.dataset,
        "category": paths.category,
        "licence": dataset.licence,
        "licence_url": dataset.licence_url,
        "non_commercial": str(dataset.non_commercial).lower(),
        "seed": str(config.seed),
    }


def _summary(dataset: DatasetConfig, frame: pd.DataFrame, left_out: dict[str, int]) -> dict[str, Any]:
    kinds = frame["label"].map({0: "normal", 1: "anomalous"})
    return {
        "images": len(frame),
        **dict(sorted(Counter(frame["split"] + "_" + kinds).items())),
        "defects": dict(sorted(Counter(frame["defect"]).items())),
        "decoded": int(frame["fingerprint"].notna().sum()),
        "with_mask": int(frame["mask"].notna().sum()),
        "left_out": left_out,
        "licence": dataset.licence,
        "licence_url": dataset.licence_url,
        "non_commercial": dataset.non_commercial,
    }


def _licence(dataset: DatasetConfig) -> str:
    return f"{dataset.licence}{', not for commercial use' if dataset.non_commercial else ''}"


def _stage(_key: str, paths: CategoryPaths) -> None:
    config = read_section(DownloadConfig, "download")
    download(
        read_section(DatasetConfig, f"datasets.{paths.dataset}"),
        config,
        paths=paths,
        mirror=read_mirror(),
        cache=CACHE,
    )


def main() -> None:
    command.run(_stage)
