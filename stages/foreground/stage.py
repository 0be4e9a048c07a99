"""Find the object on every normal photograph: synthetic anomalies are placed there only."""

import logging
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage
from tqdm import tqdm

from diffusionad.data.images import read_image
from diffusionad.data.manifest import read_manifest
from diffusionad.data.ranges import evenly_spaced
from diffusionad.foreground.methods import ForegroundConfig, Method
from stages import command
from stages.common.dataset import DatasetConfig
from stages.common.sheets import write_sheet
from stages.contracts.rules import Finding
from stages.contracts.verdict import finding_lines, write_verdict
from stages.files import atomic_folder, write_json
from stages.foreground.contract import check_contract
from stages.foreground.plan import ForegroundPlan, plan_foreground, users_plan
from stages.params import read_section
from stages.paths import CategoryPaths

LOG = logging.getLogger(__name__)

SHEET_PICTURES, SHEET_COLUMNS, TILE_PX = 24, 6, 192
OUTLINE = np.asarray([1, 0.15, 0.1], dtype=np.float32)


def foreground(
    config: ForegroundConfig,
    method: Method | Literal["auto", "masks"],
    *,
    name: str,
    manifest: Path,
    images: Path,
    users_masks: Path | None,
    masks: Path,
    sheet: Path,
    summary: Path,
    validation: Path,
    page: Path,
) -> None:
    """Write one mask per normal image, a sheet of outlines for inspection, and a report of odd masks.

    Args:
        config: Settings of the methods.
        method: Name of the method; `auto` tries several on a sample, `masks` uses the user's masks.
        name: Name of the category, for the page.
        manifest: Read: the manifest; its rows with label 0, of all splits, are used.
        images: Read: the folder that the manifest's paths are relative to.
        users_masks: Read by method `masks` only: folder of PNGs at the images' paths with suffix .png.
        masks: Written atomically: folder of PNGs of 0 and 255 at native size, at the images' paths with suffix .png.
        sheet: Written: PNG, outlines over evenly spaced images.
        summary: Written: JSON with method, reason, areas and warnings.
        validation: Written: JSON, the findings of the foreground contract.
        page: Written: HTML, the same findings as a page for people.

    Raises:
        ValueError: If the manifest has no normal image, two of its images would share a mask's name, an image cannot be
            read, the method cannot be used, or one of the user's masks is missing or has another size.
    """
    rows = read_manifest(manifest)
    normal = rows[rows["label"] == 0]
    targets = _targets(manifest, normal)
    if method == "masks":
        plan = users_plan(config, users_masks, targets)
    else:
        plan = plan_foreground(config, method, images, normal)
    LOG.info("foreground by %s: %s", plan.method, plan.reason)
    pictured = set(evenly_spaced(len(targets), SHEET_PICTURES))
    pictures, areas, whole = [], {}, set()
    with atomic_folder(masks) as draft:
        for i, (path, target) in enumerate(tqdm(targets.items(), desc="foreground", unit="image", disable=None)):
            image = read_image(images / path, None)
            found = plan.find(path, image)
            areas[path] = found.found
            if found.fell_back:
                whole.add(path)
            (draft / target).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(found.mask.astype(np.uint8) * 255).save(draft / target, format="PNG")
            if i in pictured:
                pictures.append(_outlined(image, found.mask))
    write_sheet(sheet, pictures, SHEET_COLUMNS, TILE_PX)
    findings = check_contract(config, {} if plan.method == "full" else areas)
    for line in finding_lines(findings, "warned"):
        LOG.warning("warning: %s", line)
    content = _summary(method, plan, areas, whole, findings)
    write_verdict(f"{name}, foreground", findings, content, file=validation, page=page)
    write_json(summary, content)


def _summary(
    asked: str, plan: ForegroundPlan, areas: dict[str, float], whole: set[str], findings: list[Finding]
) -> dict[str, Any]:
    found = [area for path, area in areas.items() if path not in whole] or [1.0]
    return {
        "asked": asked,
        "method": plan.method,
        "reason": plan.reason,
        "credibility": {name: round(value, 4) for name, value in plan.credibility.items()},
        "images": len(areas),
        "whole_image": len(whole),
        "area_min": round(min(found), 4),
        "area_median": round(float(np.median(found)), 4),
        "area_max": round(max(found), 4),
        "flagged": sum(finding.violated for finding in findings),
        "warnings": finding_lines(findings, "warned"),
    }


def _targets(manifest: Path, rows: pd.DataFrame) -> dict[str, Path]:
    """Return the path of the mask by path of the image, in the order of the manifest."""
    if rows.empty:
        raise ValueError(f"{manifest}: no normal image; expected rows with label 0")
    targets = {str(name): Path(str(name)).with_suffix(".png") for name in rows["path"]}
    owners: dict[Path, str] = {}
    for name, target in targets.items():
        if owners.setdefault(target, name) != name:
            raise ValueError(f"{manifest}: {owners[target]} and {name} differ in their suffix only; rename one")
    return targets


def _outlined(image: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Draw the mask's inner border on an image, wide enough to be seen on a tile."""
    width_px = max(1, max(mask.shape) // 100)
    inner = ndimage.minimum_filter(mask, 2 * width_px + 1, mode="constant")
    return np.where((mask & ~inner)[..., None], OUTLINE, image)


def _named(folder: str, paths: CategoryPaths) -> str:
    return folder.replace("{dataset}", paths.dataset).replace("{category}", paths.category)


def _stage(_: str, paths: CategoryPaths) -> None:
    config = read_section(ForegroundConfig, "foreground")
    foreground(
        config,
        read_section(DatasetConfig, f"datasets.{paths.dataset}").foreground,
        name=str(paths),
        manifest=paths.manifest,
        images=paths.images,
        users_masks=Path(_named(config.masks, paths)) if config.masks else None,
        masks=paths.foreground,
        sheet=paths.foreground_sheet,
        summary=paths.foreground_summary,
        validation=paths.foreground_validation,
        page=paths.foreground_page,
    )


def main() -> None:
    command.run(_stage)
