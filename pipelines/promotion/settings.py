"""Section `promotion` of params.yaml: defaults, and what differs for a data set or one of its categories."""

from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from diffusionad.section import Section
from pipelines.promotion.gates import GateConfig
from stages.params import PARAMS, read_section

CURVE_POINTS = 200
"""Points of each curve on the page of a comparison."""


class ScoringConfig(Section):
    """Part `scoring`: how candidate and champion are measured."""

    fpr_limit: float = Field(
        gt=0, le=1, description="largest false positive rate of the PRO curve, the same as in `evaluation`"
    )
    resamples: int = Field(ge=1, description="bootstrap resamples of images behind intervals and the paired test")
    seed: int = Field(ge=0, description="seed of the bootstrap")
    race_rounds: int = Field(ge=1, description="timed predictions of one image, candidate and champion in turn")
    race_warmup: int = Field(ge=0, description="predictions of each before the timed ones")
    timeout_s: float = Field(gt=0, description="time limit for scoring a category, s")


class PromotionConfig(Section):
    """Section `promotion`."""

    scoring: ScoringConfig
    default: GateConfig
    overrides: dict[str, dict[str, Any]] = Field(
        description="what differs, by `DATASET` or `DATASET/CATEGORY`; the latter is laid over the former"
    )


def read_rules(path: Path = PARAMS) -> PromotionConfig:
    """Read section `promotion`.

    Raises:
        ValueError: Same as `read_section`.
    """
    return read_section(PromotionConfig, "promotion", path)


def gate_for(config: PromotionConfig, dataset: str, category: str) -> GateConfig:
    """Lay the overrides of a data set, then of its category, over the defaults.

    Raises:
        ValueError: If the result is not a valid gate: one line with each key and what is wrong with it.
    """
    content = config.default.model_dump(mode="json")
    for key in (dataset, f"{dataset}/{category}"):
        content = _laid_over(content, config.overrides.get(key, {}))
    try:
        return GateConfig.model_validate(content)
    except ValidationError as error:
        faults = (f"`{'.'.join(map(str, e['loc']))}`: {e['msg']}, got {e['input']!r}" for e in error.errors())
        raise ValueError(f"params.yaml: promotion.overrides for {dataset}/{category}: {'; '.join(faults)}") from None


def _laid_over(content: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(content)
    for key, value in changes.items():
        old = merged.get(key)
        merged[key] = _laid_over(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged
