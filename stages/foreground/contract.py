"""The contract of foreground masks. It only warns: an odd mask does less harm than a stage that stops."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from diffusionad.foreground.methods import ForegroundConfig
from stages.contracts.rules import Finding, Rule, check_rules, expect_empty


def check_contract(config: ForegroundConfig, areas: Mapping[str, float]) -> list[Finding]:
    """Check the masks of a category against every rule.

    Args:
        config: The credible area, and its largest deviation from the median.
        areas: Fraction of each image that the method took for the object, in [0, 1], by path of the image; empty if the
            method takes every image whole.

    Returns:
        One finding per rule, in the order of `rules`.
    """
    return check_rules(rules(config), {"masks": _evidence(config, areas)})


def rules(config: ForegroundConfig) -> list[Rule]:
    """List the rules of the contract; each reads a column of problems that `_trouble` fills."""
    low, high = config.area
    titles = {
        "empty": "an object on the photograph",
        "full": "an object smaller than the photograph",
        "not_credible": f"an object that covers {low:.0%} to {high:.0%} of the photograph",
        "far": f"an area within {config.max_area_change:.0%} of the median",
    }
    return [expect_empty("masks", column, title, "warning") for column, title in titles.items()]


def _evidence(config: ForegroundConfig, areas: Mapping[str, float]) -> pd.DataFrame:
    credible = [area for area in areas.values() if config.area[0] <= area <= config.area[1]]
    median = float(np.median(credible)) if credible else 1.0
    columns = ["path", "empty", "full", "not_credible", "far"]
    rows = [{"path": path, **_trouble(config, area, median)} for path, area in areas.items()]
    return pd.DataFrame(rows, columns=columns, dtype=object).where(lambda frame: frame.notna(), None)


def _trouble(config: ForegroundConfig, area: float, median: float) -> dict[str, Any]:
    low, high = config.area
    if area == 0:
        return {"empty": "nothing; the whole image is taken"}
    if area == 1:
        return {"full": "the whole image"}
    if not low <= area <= high:
        return {"not_credible": f"{area:.1%}; the whole image is taken"}
    if abs(area - median) > config.max_area_change * median:
        return {"far": f"{area:.1%} of the image, where the median is {median:.1%}"}
    return {}
