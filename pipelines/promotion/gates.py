"""The promotion gate: may these candidates replace the champions? A pure function from evidence to decision.

Every rule passes only if the evidence shows the good case. A comparison with NaN is false, and a missing figure reaches
no limit, so both refuse.
"""

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Literal, NamedTuple, get_args

from pydantic import Field

from diffusionad.section import Section
from pipelines.promotion.decision import Check, Decision

Figure = Literal[
    "image_auroc",
    "image_ap",
    "pixel_auroc",
    "pixel_pro",
    "pixel_ap",
    "synthetic_pixel_auroc",
    "synthetic_pixel_pro",
    "synthetic_pixel_ap",
]
"""A figure of metrics.json, in [0, 1]; higher is better."""

FIGURES: tuple[Figure, ...] = get_args(Figure)
LINEAGE = ("git.commit", "git.dirty", "dvc_status", "dvc_lock", "manifest", "params", "environment")
"""Facts without which a version cannot be rebuilt."""


class Floor(Section):
    """The least values that a figure must reach."""

    mean: float = Field(ge=0, le=1, description="least mean over the categories that are promoted together")
    worst: float = Field(ge=0, le=1, description="least value of each category")


class GateConfig(Section):
    """What a candidate must show: section `promotion` of params.yaml, resolved for one category."""

    floors: dict[Figure, Floor | None] = Field(description="null: this figure has no floor")
    read_as: Literal["estimate", "lower_bound"] = Field(
        description="which value of a figure is compared with its floor"
    )
    max_regression: dict[Figure, Annotated[float, Field(ge=0, le=1)] | None] = Field(
        description="how far the lower 95 % bound of candidate minus champion, on the same images, may lie below zero"
    )
    max_promised_false_alarm_rate: float | None = Field(
        gt=0, le=1, description="largest share of new normal images that the threshold may promise to flag; null: any"
    )
    max_disagreement: float = Field(
        ge=0, description="largest difference between a figure of the registered artifact and the one its run states"
    )
    latency_ms: float | None = Field(
        gt=0, description="largest median time per image, measured now, ms; null: no limit"
    )
    latency_ratio: float = Field(gt=0, description="largest median time of the candidate over that of the champion")
    size_mib: float = Field(gt=0, description="largest size of the weights, MiB")
    allow_warnings: bool = Field(description="whether a data contract with warnings passes")
    require_clean_tree: bool = Field(description="whether uncommitted changes lead to a refusal")


class ChampionEvidence(NamedTuple):
    """What was measured of the champion, beside the candidate and on the same images."""

    version: str
    manifest: str
    """Digest of the manifest that the champion was scored on just now."""
    lower_bounds: Mapping[str, float]
    """Lower 95 % bound of candidate minus champion over the same resamples, by figure."""
    latency_ratio: float
    """Median time of the candidate over that of the champion, timed in turn in one process."""
    leaked: int | None
    """Number of test images in the champion's training set; None if that set is unknown."""


class GateEvidence(NamedTuple):
    """All that the gate knows of one category. What could not be determined is None, NaN or missing."""

    version: str
    digest: str
    """Digest of the artifact that is in the registry now."""
    registered_digest: str | None
    """Digest of the artifact when it was registered."""
    manifest: str
    """Digest of the manifest whose test rows were scored."""
    figures: Mapping[str, float | None]
    """Figures of the artifact, measured just now; lower bounds have the suffix `_low`."""
    stated: Mapping[str, float | None]
    """The same figures as the run states them."""
    leaked: int | None
    """Number of test images in the candidate's training set; None if that set is unknown."""
    latency_ms: float
    """Median time per image, ms."""
    size_mib: float
    """Size of the weights, MiB."""
    violations: Mapping[str, int] | None
    """Number of rules of the data contract that are `failed` and `warned`; None without a report."""
    lineage: Mapping[str, str]
    champion: ChampionEvidence | None
    """None if the category has none yet."""


def decide(configs: Mapping[str, GateConfig], evidence: Mapping[str, GateEvidence]) -> Decision:
    """Check each category against its rules, and the mean over all categories against the floors for it.

    Args:
        configs: Rules of each category, by its name.
        evidence: Evidence for each category, by the same names.

    Returns:
        Every rule with its values and verdict. Categories are promoted together, and only if all rules pass.

    Raises:
        ValueError: If there is no category, or configs and evidence name different ones.
    """
    if not evidence or set(configs) != set(evidence):
        raise ValueError(f"expected evidence for each of {sorted(configs)}, got it for {sorted(evidence)}")
    checks: list[Check] = []
    for name, facts in evidence.items():
        checks += [check._replace(category=name) for check in _judge(configs[name], facts)]
    return Decision((*checks, *_judge_mean(configs, evidence)))


def _judge(config: GateConfig, facts: GateEvidence) -> Iterator[Check]:
    yield from _judge_artifact(config, facts)
    yield from _judge_origin(config, facts)
    yield from _judge_leaks(facts)
    for figure, floor in config.floors.items():
        if floor is not None:
            value = _read(config, facts, figure)
            yield Check("floor", figure, value, f">= {floor.worst:g}", _within(value, floor.worst))
    yield _judge_promise(config, facts)
    yield from _judge_regression(config, facts)
    yield from _judge_cost(config, facts)


def _judge_artifact(config: GateConfig, facts: GateEvidence) -> Iterator[Check]:
    registered = facts.registered_digest
    yield Check(
        "artifact",
        "digest",
        facts.digest[:12],
        f"= {(registered or 'none')[:12]}",
        bool(registered) and facts.digest == registered,
    )
    compared = [name for name in FIGURES if facts.figures.get(name) is not None or facts.stated.get(name) is not None]
    if not compared:
        yield Check("same_figures", "figures", None, "some", passed=False)
    for name in compared:
        now, stated = facts.figures.get(name), facts.stated.get(name)
        gap = math.nan if now is None or stated is None else abs(now - stated)
        yield Check("same_figures", name, gap, f"<= {config.max_disagreement:g}", gap <= config.max_disagreement)


def _judge_origin(config: GateConfig, facts: GateEvidence) -> Iterator[Check]:
    missing = [key for key in LINEAGE if not facts.lineage.get(key)]
    yield Check("lineage", "missing", ", ".join(missing) or "nothing", "nothing", not missing)
    status = facts.lineage.get("dvc_status") or None
    yield Check("up_to_date", "dvc_status", status, "current", status == "current")
    licence = facts.lineage.get("licence")
    terms = {"true": f"{licence}, not for commercial use", "false": licence}.get(
        facts.lineage.get("non_commercial", "")
    )
    yield Check("licence", "data", terms if licence else None, "known", bool(licence and terms))
    trained = facts.lineage.get("manifest")
    yield Check(
        "same_data", "manifest", facts.manifest[:12], f"= {(trained or 'none')[:12]}", trained == facts.manifest
    )
    if config.require_clean_tree:
        dirty = facts.lineage.get("git.dirty")
        yield Check("clean_tree", "git.dirty", dirty, "false", dirty == "false")
    failed = None if facts.violations is None else facts.violations.get("failed")
    yield Check("contract", "failed", failed, "0", failed == 0)
    if not config.allow_warnings:
        warned = None if facts.violations is None else facts.violations.get("warned")
        yield Check("contract", "warned", warned, "0", warned == 0)


def _judge_leaks(facts: GateEvidence) -> Iterator[Check]:
    yield Check("leak", "candidate", facts.leaked, "0", facts.leaked == 0)
    if facts.champion is not None:
        yield Check("leak", "champion", facts.champion.leaked, "0", facts.champion.leaked == 0)


def _judge_promise(config: GateConfig, facts: GateEvidence) -> Check:
    """State what the threshold promises and from how many images, whether or not a rate is demanded."""
    names = ("promised_false_alarm_rate", "calibration_images", "asked_false_alarm_rate", "calibration_images_needed")
    promised, images, asked, needed = (facts.figures.get(name) for name in names)
    value = None if promised is None else f"{promised:.4g} from {images:g} images" if images else f"{promised:.4g}"
    if value and asked and needed:
        value += f"; {asked:g} asked needs {needed:g}"
    limit = config.max_promised_false_alarm_rate
    holds = limit is None or (promised is not None and 0 < promised <= limit)
    return Check("promise", "false_alarm_rate", value, "any" if limit is None else f"<= {limit:g}", holds)


def _judge_regression(config: GateConfig, facts: GateEvidence) -> Iterator[Check]:
    if facts.champion is None:
        return
    there = facts.champion.manifest
    yield Check("same_data", "champion", there[:12], f"= {facts.manifest[:12]}", there == facts.manifest)
    for figure, margin in config.max_regression.items():
        if margin is not None:
            bound = facts.champion.lower_bounds.get(figure, math.nan)
            yield Check("no_regression", figure, bound, f">= {-margin:g}", _within(bound, -margin))


def _judge_cost(config: GateConfig, facts: GateEvidence) -> Iterator[Check]:
    if config.latency_ms is not None:
        within = 0 < facts.latency_ms <= config.latency_ms
        yield Check("latency", "ms_p50", facts.latency_ms, f"<= {config.latency_ms:g}", within)
    if facts.champion is not None:
        ratio = facts.champion.latency_ratio
        yield Check("latency", "ratio", ratio, f"<= {config.latency_ratio:g}", 0 < ratio <= config.latency_ratio)
    yield Check("size", "mib", facts.size_mib, f"<= {config.size_mib:g}", 0 < facts.size_mib <= config.size_mib)


def _judge_mean(configs: Mapping[str, GateConfig], evidence: Mapping[str, GateEvidence]) -> Iterator[Check]:
    # Settings may differ between categories; the highest of their floors for the mean counts.
    for figure in sorted({name for config in configs.values() for name, floor in config.floors.items() if floor}):
        judged = [name for name, config in configs.items() if config.floors.get(figure)]
        floor = max(f.mean for name in judged if (f := configs[name].floors[figure]) is not None)
        values = [_read(configs[name], evidence[name], figure) for name in judged]
        known = [value for value in values if value is not None]
        mean = sum(known) / len(known) if len(known) == len(values) else None
        yield Check("mean_floor", figure, mean, f">= {floor:g}", _within(mean, floor), category="mean")


def _read(config: GateConfig, facts: GateEvidence, figure: str) -> float | None:
    return facts.figures.get(f"{figure}_low" if config.read_as == "lower_bound" else figure)


def _within(value: float | None, least: float) -> bool:
    """Whether a figure, or the difference of two, reaches `least` and does not exceed 1, its largest possible value."""
    return value is not None and least <= value <= 1
