"""The evidence that a category's contract is checked on: tables of images, of masks, and of figures of the whole.

A column that describes a problem holds its text, or nothing where there is no problem.
"""

import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from posixpath import splitext
from typing import Any, NamedTuple

import pandas as pd

from stages.download.facts import ImageFacts, MaskFacts
from stages.download.frames import frame_of
from stages.download.layouts.listing import Item

FEW_MASKS = 3
"""The fewest masks among which equal ones say something."""


class DataEvidence(NamedTuple):
    """Three tables, each with a column `path` that names its rows."""

    images: pd.DataFrame
    """One row per image of the listing."""
    masks: pd.DataFrame
    """One row per mask without an image."""
    figures: pd.DataFrame
    """One row: counts, shares and drifts of the category."""


def collect(
    name: str,
    items: Sequence[Item],
    images: Mapping[str, ImageFacts],
    masks: Mapping[str, MaskFacts],
    digests: Mapping[str, str],
    orphans: Sequence[str],
    lookalikes: Mapping[str, str],
    accepted: pd.DataFrame | None,
) -> DataEvidence:
    """Combine what the layout, the files and the pixels tell into tables.

    Args:
        name: Name of the category, DATASET/CATEGORY.
        items: The images, with their splits.
        images: Facts about the image files, by path.
        masks: Facts about the mask files, by path.
        digests: SHA-256 that the data set states, by path.
        orphans: Paths of masks without an image.
        lookalikes: For the path of an image, a text with the image of another split that looks the same, and in how
            many bits their fingerprints differ.
        accepted: The manifest that was accepted last; None if there is none.
    """
    any_mask = any(item.mask for item in items)
    frame = pd.DataFrame([_image_row(i, images[i.path], masks, digests, any_mask=any_mask) for i in items])
    frame["twin"] = _elsewhere(frame["sha256"], frame["split"], frame["path"])
    frame["copy"] = _again(frame["sha256"], frame["split"], frame["path"])
    normal = frame["label"] == 0
    groups = frame["path"].map({item.path: item.group for item in items})
    frame["object_elsewhere"] = _elsewhere(groups.where(normal, ""), frame["split"], frame["path"])
    frame["object_in_training"] = _elsewhere(groups, frame["split"], frame["path"]).where(~normal)
    frame["namesake"] = _again(frame["path"].map(_stem), pd.Series("", frame.index), frame["path"])
    frame["lookalike"] = pd.Series([lookalikes.get(item.path) for item in items], dtype=object)
    mask_frame = pd.DataFrame({"path": list(orphans), "image": None}, columns=["path", "image"], dtype=object)
    marked = [masks[item.mask] for item in items if item.mask and not masks[item.mask].fault]
    figures = _figures(name, frame, accepted) | _mask_figures(marked)
    return DataEvidence(_plain(frame), mask_frame, pd.DataFrame([figures]))


def _image_row(
    item: Item, fact: ImageFacts, masks: Mapping[str, MaskFacts], digests: Mapping[str, str], *, any_mask: bool
) -> dict[str, Any]:
    return {
        "path": item.path,
        "split": item.split,
        "label": item.label,
        "defect": item.defect,
        "width": fact.width if not fact.fault else None,
        "height": fact.height if not fact.fault else None,
        "megapixels": fact.width * fact.height / 1e6 if not fact.fault else None,
        "mode": fact.mode or None,
        "brightness": fact.brightness,
        "sha256": fact.sha256 or None,
        "stated_sha256": digests.get(item.path),
        "fault": fact.fault,
        **_framing(item, fact),
        "mask_soft": masks[item.mask].soft if item.mask else None,
        "mask_trouble": _mask_trouble(item, fact, masks, digests, any_mask=any_mask),
    }


def _framing(item: Item, fact: ImageFacts) -> dict[str, str | None]:
    """Why the size that the data set states is not that of the image, and what an image with shapes was scaled from."""
    told: dict[str, str | None] = {"stated_size": None, "scaled": None}
    if fact.fault or item.stated is None:
        return told
    try:
        frame = frame_of(fact, item.stated, item.outline)
    except ValueError as error:
        # An image with shapes has it told as a fault of its mask.
        return told if item.outline else told | {"stated_size": str(error)}
    height, width = frame.size
    if item.outline and frame.is_scaled:
        told["scaled"] = f"scaled from {width} x {height} to {fact.width} x {fact.height} px"
    return told


def _mask_trouble(
    item: Item, fact: ImageFacts, masks: Mapping[str, MaskFacts], digests: Mapping[str, str], *, any_mask: bool
) -> str | None:
    if item.mask is None:
        return "no mask, though other anomalous images have one" if item.label and any_mask else None
    if item.label == 0:
        return f"{item.mask}, a mask for a normal image"
    mask, trouble = masks[item.mask], None
    if mask.fault:
        trouble = mask.fault
    elif not fact.fault and (mask.height, mask.width) != (fact.height, fact.width):
        trouble = f"{mask.width} x {mask.height} px for an image of {fact.width} x {fact.height} px"
    elif mask.area in (0, 1):
        trouble = f"marks {'everything' if mask.area else 'nothing'}"
    elif mask.sha256 != digests.get(item.mask, mask.sha256):
        trouble = f"its SHA-256 is not the stated {digests[item.mask]}"
    return trouble and f"{item.mask}: {trouble}"


def _elsewhere(keys: "pd.Series[str]", splits: "pd.Series[str]", paths: "pd.Series[str]") -> "pd.Series[str]":
    """Return, for each row, a path with the same key in another split; missing if there is none."""
    places: dict[str, dict[str, str]] = defaultdict(dict)
    for key, split, path in zip(keys, splits, paths, strict=True):
        if key and pd.notna(key):
            places[key].setdefault(split, path)
    found = [
        next((f"{path} in {other}" for other, path in places.get(key, {}).items() if other != split), None)
        for key, split in zip(keys, splits, strict=True)
    ]
    return pd.Series(found, index=keys.index, dtype=object)


def _again(keys: "pd.Series[str]", splits: "pd.Series[str]", paths: "pd.Series[str]") -> "pd.Series[str]":
    """Return, for each row but the first with its key and split, the path of that first."""
    first: dict[tuple[str, str], str] = {}
    found = [
        None if not key or pd.isna(key) or (seen := first.setdefault((key, split), path)) == path else seen
        for key, split, path in zip(keys, splits, paths, strict=True)
    ]
    return pd.Series(found, index=keys.index, dtype=object)


def _stem(path: str) -> str:
    return splitext(path)[0]


def _plain(frame: pd.DataFrame) -> pd.DataFrame:
    """Return text columns as objects with None, which Great Expectations counts as missing."""
    texts = frame.columns[[not pd.api.types.is_numeric_dtype(kind) for kind in frame.dtypes]]
    return frame.astype(dict.fromkeys(texts, object)).where(frame.notna(), None)


def _figures(name: str, frame: pd.DataFrame, accepted: pd.DataFrame | None) -> dict[str, Any]:
    counts = {
        f"{split}_{kind}": int(((frame["split"] == split) & (frame["label"] == label)).sum())
        for split, label, kind in (
            ("train", 0, "normal"),
            ("val", 0, "normal"),
            ("test", 0, "normal"),
            ("test", 1, "anomalous"),
        )
    }
    tested = counts["test_normal"] + counts["test_anomalous"]
    return {
        "path": name,
        **counts,
        "anomalous_share": counts["test_anomalous"] / tested if tested else None,
        "brightness_drift": abs(_brightness(frame) - _brightness(accepted)) if accepted is not None else 0.0,
        "size_drift": abs(_side(frame) / _side(accepted) - 1) if accepted is not None else 0.0,
    }


def _mask_figures(masks: Sequence[MaskFacts]) -> dict[str, Any]:
    """The share that a mask marks in the median, and the share of masks that are one and the same."""
    digests = Counter(mask.sha256 for mask in masks)
    few = len(masks) < FEW_MASKS
    return {
        "median_mask_area": statistics.median(mask.area for mask in masks) if masks else None,
        "same_masks": None if few else digests.most_common(1)[0][1] / len(masks),
    }


def _brightness(frame: pd.DataFrame) -> float:
    return float(frame.loc[frame["label"] == 0, "brightness"].astype(float).mean())


def _side(frame: pd.DataFrame) -> float:
    return float((frame["width"].astype(float) * frame["height"].astype(float)).median() ** 0.5)
