"""Rules on tables, checked by Great Expectations in memory. Each stage lists its own rules.

A violated critical rule stops the stage; a warning is only reported.
"""

import functools
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

import pandas as pd

MAX_ROWS = 100
"""Violating rows that a report lists per rule; their number is always given in full."""

Severity = Literal["critical", "warning"]


class Rule(NamedTuple):
    """One expectation on one table."""

    table: str
    title: str
    """The expectation in words, for the user."""
    expectation: Any


class Finding(NamedTuple):
    """The outcome of one rule."""

    title: str
    table: str
    expectation: str
    """Its type in Great Expectations."""
    severity: Severity
    checked: int
    """Rows checked."""
    violated: int
    """Rows that violate the rule."""
    rows: tuple[tuple[str, Any], ...]
    """(path, value) of the first violating rows."""


@functools.cache
def expectations() -> Any:  # noqa: ANN401  # a typed package that does not declare what it exports
    """Return the module of expectations, loaded on first use: loading takes five seconds."""
    # It would log every expectation that it registers while loading, and later every store.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    from great_expectations import expectations as module  # noqa: PLC0415

    return module


def check_rules(rules: Sequence[Rule], tables: Mapping[str, pd.DataFrame]) -> list[Finding]:
    """Check tables against rules.

    Args:
        rules: The contract.
        tables: Tables by the name that rules use; column `path` of each names its rows. An empty table passes.

    Returns:
        One finding per rule, in the order of `rules`.

    Raises:
        RuntimeError: If an expectation cannot be evaluated, such as on a missing column.
    """
    import great_expectations as gx  # noqa: PLC0415  # slow to load
    from great_expectations.data_context.types.base import (  # noqa: PLC0415
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    # Otherwise it would leave a temporary folder behind.
    in_memory = InMemoryStoreBackendDefaults(init_temp_docs_sites=False)
    context = gx.get_context(mode="ephemeral", project_config=DataContextConfig(store_backend_defaults=in_memory))
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    source = context.data_sources.add_pandas("evidence")
    contents: dict[str, dict[str, Any]] = {}
    for table, frame in tables.items():
        chosen = [rule for rule in rules if rule.table == table]
        if frame.empty:
            continue
        suite = gx.ExpectationSuite(name=table, expectations=[rule.expectation for rule in chosen])
        batch = source.add_dataframe_asset(table).add_batch_definition_whole_dataframe("whole")
        result_format = {"result_format": "COMPLETE", "unexpected_index_column_names": ["path"]}
        result = batch.get_batch({"dataframe": frame}).validate(suite, result_format=result_format)
        contents |= {rule.title: _content(answer) for rule, answer in zip(chosen, result.results, strict=True)}
    return [_finding(rule, contents.get(rule.title, {})) for rule in rules]


def expect_empty(table: str, column: str, title: str, severity: Severity = "critical") -> Rule:
    """Expect that a column that describes problems is empty."""
    return Rule(table, title, expectations().ExpectColumnValuesToBeNull(column=column, severity=severity))


def expect_between(
    table: str, column: str, title: str, bounds: tuple[float | None, float | None], severity: Severity = "critical"
) -> Rule:
    """Expect numbers between two inclusive bounds; None for no bound."""
    low, high = bounds
    expectation = expectations().ExpectColumnValuesToBeBetween(
        column=column, min_value=low, max_value=high, severity=severity
    )
    return Rule(table, title, expectation)


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
