"""The words that people and tools use for normal parts, for splits and for masks, in folders and in tables."""

import re

GOOD = "good"

NORMAL = frozenset({GOOD, "ok", "okay", "normal", "pass", "passed", "i.o.", "i.o", "io"})
"""Words for a normal part, in small letters; `i.O.` is German for in order."""

ANOMALOUS = frozenset(
    {"abnormal", "anomalous", "anomaly", "defect", "defective", "ng", "nok", "bad", "fail", "failed", "n.i.o.", "n.i.o"}
)
"""Words for an anomalous part, in small letters."""

SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
    "test_public": "test",
}
"""Split by name, in small letters; MVTec AD 2 has `test_public`."""

MASK_FOLDERS = frozenset({"ground_truth", "groundtruth", "gt", "mask", "masks"})
"""Folders of masks, in small letters."""

MASK_WORDS = "mask|segmentation|seg|label|gt"
AFFIX = re.compile(rf"^(?:{MASK_WORDS})[-_ ]|[-_ ](?:{MASK_WORDS})$", re.IGNORECASE)
"""Part of the name of a mask that the name of its image lacks."""


def is_normal(name: str) -> bool:
    """Whether a folder or a label says that a part is normal."""
    return name.strip().lower() in NORMAL


def defect_of(name: str) -> str:
    """The name of the defect that a folder of images names; `good` for any word for normal parts."""
    return GOOD if is_normal(name) else name


def split_of(name: str) -> str | None:
    """The split that a folder or a cell of a table names: train, val or test; None for any other word."""
    return SPLITS.get(name.strip().lower())


def is_mask_folder(name: str) -> bool:
    """Whether a folder holds masks."""
    return name.lower() in MASK_FOLDERS


def without_affix(stem: str) -> str:
    """The stem of the image that a mask belongs to: `000` for `000_mask`, `mask_000` and `000-segmentation`."""
    return AFFIX.sub("", stem, count=1)
