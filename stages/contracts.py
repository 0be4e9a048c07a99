"""The data contract: what must hold of a category before anything is trained on it, checked by Great Expectations.

An error stops the stage; a warning is reported. The context lives in memory, the suite in this file.
"""

import logging
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import great_expectations as gx
from great_expectations import expectations
from great_expectations.data_context.types.base import (
    DataContextConfig,
    InMemoryStoreBackendDefaults,
    ProgressBarsConfig,
)
from great_expectations.expectations.row_conditions import Column
from pydantic import Field

from diffusionad.section import Section
from stages.evidence import Evidence

gxe: Any = expectations  # a typed package that does not declare what it exports

MAX_ROWS = 100
"""Rows kept of each violated expectation in the report; their count is kept in full."""

Table = Literal["images", "masks", "figures"]
Severity = Literal["critical", "warning"]


class ContractConfig(Section):
    """Part `contract` of section `download`."""

    min_side_px: int = Field(ge=1, description="shorter images are refused, px")
    max_megapixels: float = Field(gt=0, description="larger images are refused")
    modes: tuple[str, ...] = Field(description="pixel formats that are taken, as Pillow names them")
    min_train: int = Field(ge=1, description="normal images to train on, at least")
    min_val: int = Field(ge=0, description="normal images to validate on, at least")
    anomalous_share: tuple[float, float] = Field(description="of the test images, from and to; else a warning")
    max_brightness_drift: float = Field(ge=0, le=1, description="change of the mean grey value of normal images")
    max_size_drift: float = Field(ge=0, description="relative change of the median side length")


class Rule(NamedTuple):
    """One expectation on one table."""

    table: Table
    title: str
    """What is expected, as the user reads it."""
    expectation: Any


class Finding(NamedTuple):
    """What came of a rule."""

    title: str
    table: Table
    expectation: str
    """The type of Great Expectations."""
    severity: Severity
    checked: int
    """Rows that it was held against."""
    violated: int
    rows: tuple[tuple[str, Any], ...]
    """(path, value) of the first violating rows."""


def check(config: ContractConfig, evidence: Evidence) -> list[Finding]:
    """Hold the evidence against every rule, in the order of `rules`."""
    # It would log what it stores where, and leave a folder for its pages behind.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    in_memory = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
    context = gx.get_context(mode="ephemeral", project_config=DataContextConfig(store_backend_defaults=in_memory))
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("evidence")
    contents: dict[str, dict[str, Any]] = {}
    for table, frame in evidence._asdict().items():
        chosen = [rule for rule in rules(config) if rule.table == table]
        if frame.empty:
            continue
        suite = gx.ExpectationSuite(name=table, expectations=[rule.expectation for rule in chosen])
        batch = source.add_dataframe_asset(table).add_batch_definition_whole_dataframe("whole")
        result_format = {"result_format": "COMPLETE", "unexpected_index_column_names": ["path"]}
        result = batch.get_batch({"dataframe": frame}).validate(suite, result_format=result_format)
        contents |= {rule.title: _content(answer) for rule, answer in zip(chosen, result.results, strict=True)}
    return [_finding(rule, contents.get(rule.title, {})) for rule in rules(config)]


def rules(config: ContractConfig) -> list[Rule]:
    """List the contract."""
    return [*_file_rules(config), *_label_rules(), *_split_rules(), *_figure_rules(config)]


def _file_rules(config: ContractConfig) -> list[Rule]:
    side, modes = config.min_side_px, list(config.modes)
    stated = gxe.ExpectColumnPairValuesToBeEqual(
        column_A="sha256", column_B="stated_sha256", ignore_row_if="either_value_is_missing"
    )
    at_most = gxe.ExpectColumnValuesToBeBetween(column="megapixels", max_value=config.max_megapixels)
    sides = {name: gxe.ExpectColumnValuesToBeBetween(column=name, min_value=side) for name in ("width", "height")}
    return [
        _none("fault", "an image that can be read to its end"),
        Rule("images", "the SHA-256 that the data set states", stated),
        *(Rule("images", f"a {name} of at least {side} px", expectation) for name, expectation in sides.items()),
        Rule("images", f"at most {config.max_megapixels:g} megapixels", at_most),
        Rule("images", f"a pixel format among {', '.join(modes)}", _in("mode", modes)),
        Rule("images", "a path of its own", gxe.ExpectColumnValuesToBeUnique(column="path")),
        _none("namesake", "a name that differs in more than its ending"),
    ]


def _label_rules() -> list[Rule]:
    is_good, trains = Column("defect") == "good", Column("split").is_in(["train", "val"])
    return [
        Rule("images", "a split", _in("split", ["train", "val", "test"])),
        Rule("images", "label 0 for defect `good`", _in("label", [0], is_good)),
        Rule("images", "label 1 for any other defect", _in("label", [1], Column("defect") != "good")),
        Rule("images", "normal images only to train and validate on", _in("label", [0], trains)),
        _none("mask_trouble", "a mask of the image's size for each anomalous image, and none for a normal one"),
        Rule("masks", "an image for each mask", gxe.ExpectColumnValuesToNotBeNull(column="image")),
    ]


def _split_rules() -> list[Rule]:
    return [
        _none("twin", "no image in two splits"),
        _none("object_elsewhere", "the normal images of one object in one split"),
        _none("copy", "no image twice in a split", "warning"),
        _none("lookalike", "no near-duplicate in another split", "warning"),
        _none("object_in_training", "no anomalous image of an object that is trained on", "warning"),
    ]


def _figure_rules(config: ContractConfig) -> list[Rule]:
    low, high = config.anomalous_share
    return [
        _figure(f"at least {config.min_train} normal images to train on", "train_normal", config.min_train),
        _figure(f"at least {config.min_val} normal images to validate on", "val_normal", config.min_val),
        _figure("a normal test image", "test_normal", 1, None, "warning"),
        _figure("an anomalous test image", "test_anomalous", 1, None, "warning"),
        _figure(f"{low:.0%} to {high:.0%} of the test images anomalous", "anomalous_share", low, high, "warning"),
        _figure(
            f"a mean brightness within {config.max_brightness_drift:g} of the data accepted last",
            "brightness_drift",
            None,
            config.max_brightness_drift,
            "warning",
        ),
        _figure(
            f"a median side within {config.max_size_drift:.0%} of the data accepted last",
            "size_drift",
            None,
            config.max_size_drift,
            "warning",
        ),
    ]


def _none(column: str, title: str, severity: Severity = "critical") -> Rule:
    return Rule("images", title, gxe.ExpectColumnValuesToBeNull(column=column, severity=severity))


def _in(column: str, values: Sequence[Any], where: Any = None) -> Any:  # noqa: ANN401  # a condition, an expectation
    return gxe.ExpectColumnValuesToBeInSet(column=column, value_set=list(values), row_condition=where)


def _figure(
    title: str, column: str, low: float | None, high: float | None = None, severity: Severity = "critical"
) -> Rule:
    bounds = gxe.ExpectColumnValuesToBeBetween(column=column, min_value=low, max_value=high, severity=severity)
    return Rule("figures", title, bounds)


def _content(answer: Any) -> dict[str, Any]:  # noqa: ANN401  # a result of Great Expectations
    if answer.exception_info.get("raised_exception"):
        raise RuntimeError(f"{answer.expectation_config.type}: {answer.exception_info['exception_message']}")
    content: dict[str, Any] = answer.result
    return content


def _finding(rule: Rule, result: dict[str, Any]) -> Finding:
    rows = tuple((row["path"], _value(row)) for row in result.get("unexpected_index_list") or ())
    return Finding(
        title=rule.title,
        table=rule.table,
        expectation=rule.expectation.expectation_type,
        severity="warning" if rule.expectation.severity == "warning" else "critical",
        checked=int(result.get("element_count", 0)),
        violated=int(result.get("unexpected_count", 0)),
        rows=rows[:MAX_ROWS],
    )


def _value(row: dict[str, Any]) -> Any:  # noqa: ANN401  # text or a number
    values = [value.item() if hasattr(value, "item") else value for name, value in row.items() if name != "path"]
    return values[0] if len(values) == 1 else " and ".join(map(str, values)) or row["path"]
