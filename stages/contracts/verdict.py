"""Findings of a contract -> JSON for machines, a page for people, lines for the one who waits."""

from pathlib import Path
from typing import Any

import jinja2

from stages.contracts.rules import Finding
from stages.files import atomic_file, write_json

MAX_LINES = 10
"""Told of one finding; the page has more."""

TEMPLATE = Path(__file__).with_name("validation.html")


def verdict(finding: Finding) -> str:
    """Return passed, warned or failed."""
    if not finding.violated:
        return "passed"
    return "warned" if finding.severity == "warning" else "failed"


def lines(findings: list[Finding], wanted: str) -> list[str]:
    """Return a line for each violating row of the findings with the verdict `wanted`: path, expectation, value.

    Of one finding only the first are told, so that a hundred of one kind do not hide the one of another.
    """
    text = []
    for finding in findings:
        if verdict(finding) == wanted:
            text += [f"{path}: expected {finding.title}; got {value}" for path, value in finding.rows[:MAX_LINES]]
            if finding.violated > MAX_LINES:
                text.append(f"... and {finding.violated - MAX_LINES} more, where expected was {finding.title}")
    return text


def write_verdict(name: str, findings: list[Finding], summary: dict[str, Any], *, file: Path, page: Path) -> None:
    """Write the findings as JSON and as a page that needs nothing but itself.

    Args:
        name: What was checked.
        findings: What came of each rule.
        summary: The counts and reasons that the page shows.
        file: The JSON.
        page: The HTML.
    """
    content = {
        "name": name,
        "accepted": not any(verdict(finding) == "failed" for finding in findings),
        "failed": sum(verdict(finding) == "failed" for finding in findings),
        "warned": sum(verdict(finding) == "warned" for finding in findings),
        "findings": [_plain(finding) for finding in findings],
    }
    write_json(file, content)
    # The template is ours, the values are file names of anybody: they are escaped.
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.ChainableUndefined)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    with atomic_file(page) as draft:
        draft.write_text(template.render(content, summary=summary), encoding="utf-8")


def _plain(finding: Finding) -> dict[str, Any]:
    rows = [{"path": path, "value": value} for path, value in finding.rows]
    return {**finding._asdict(), "verdict": verdict(finding), "rows": rows}
