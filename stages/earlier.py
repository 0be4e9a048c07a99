"""Read a params.yaml that an earlier version wrote: keys that were renamed, and keys that did not exist."""

import copy
import logging
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

RENAMED = {"download.max_megapixels_looked_at": "max_megapixels_decoded"}
"""Earlier key, and its present name beside the same keys."""

ADDED: dict[str, Any] = {
    "download.line_width_px": 3,
    "download.contract.max_mask_area": 0.5,
    "download.contract.max_soft_mask": 0.2,
    "download.contract.max_same_masks": 0.5,
    "promotion.default.max_promised_false_alarm_rate": None,
}
"""Keys that did not exist, with the value that params.yaml ships with now."""


def upgraded(section: Any, name: str, path: Path) -> Any:  # noqa: ANN401  # YAML holds anything
    """Return a section of params.yaml with the keys of this version; each change is a warning in the log.

    Args:
        section: The content of the section; it is not changed.
        name: Its key in the file; a dot steps into an entry.
        path: The file, for the log.
    """
    section = copy.deepcopy(section)
    for earlier, present in RENAMED.items():
        holder, key = _holder(section, name, earlier)
        if key in holder and present not in holder:
            holder[present] = holder.pop(key)
            log.warning("%s: `%s` of an earlier version is read as `%s`; rename it", path, earlier, present)
    for added, value in ADDED.items():
        holder, key = _holder(section, name, added)
        if holder and key not in holder:
            holder[key] = value
            log.warning("%s: `%s` did not exist in an earlier version; taken as %s; add it", path, added, value)
    return section


def _holder(section: Any, name: str, key: str) -> tuple[dict[str, Any], str]:  # noqa: ANN401  # YAML holds anything
    """Find what holds a key within a section; nothing if the key is of another section."""
    if not key.startswith(f"{name}."):
        return {}, key
    *steps, last = key.removeprefix(f"{name}.").split(".")
    for step in steps:
        section = section.get(step) if isinstance(section, dict) else None
    return (section, last) if isinstance(section, dict) else ({}, last)
