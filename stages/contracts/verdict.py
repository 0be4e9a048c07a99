"""Report the findings of a contract: as JSON, as an HTML page, and as lines for the log."""

from pathlib import Path
from typing import Any

import jinja2

from stages.contracts.rules import Finding
from stages.files import atomic_file, write_json

MAX_LINES = 10
"""Violating rows that `lines` gives per finding; the page lists more."""

TEMPLATE = Path(__file__).with_name("validation.html")


def verdict(finding: Finding) -> str:
    """Return the verdict on a finding: passed, warned or failed."""
    if not finding.violated:
        return "passed"
    return "warned" if finding.severity == "warning" else "failed"


def finding_lines(findings: list[Finding], wanted: str) -> list[str]:
    """Return a line for each violating row of the findings with the verdict `wanted`: path, expectation, value.

    Only the first rows of each finding are given: a hundred violations of one rule must not hide those of another.
    """
    text = []
    for finding in findings:
        if verdict(finding) == wanted:
            text += [f"{path}: expected {finding.title}; got {value}" for path, value in finding.rows[:MAX_LINES]]
            if finding.violated > MAX_LINES:
                text.append(f"... and {finding.violated - MAX_LINES} more, where expected was {finding.title}")
    return text


def write_verdict(name: str, findings: list[Finding], summary: dict[str, Any], *, file: Path, page: Path) -> None:
    """Write the findings as JSON and as a self-contained HTML page.

    Args:
        name: Name of the checked data, for the title.
        findings: The outcome of each rule.
        summary: Counts and reasons that the page shows above the rules.
        file: Path of the JSON file.
        page: Path of the HTML page.
    """
    content = {
        "name": name,
        "accepted": not any(verdict(finding) == "failed" for finding in findings),
        "failed": sum(verdict(finding) == "failed" for finding in findings),
        "warned": sum(verdict(finding) == "warned" for finding in findings),
        "findings": [_plain(finding) for finding in findings],
    }
    write_json(file, content)
    # The values contain file names from foreign data, so they are escaped.
    environment = jinja2.Environment(autoescape=True, undefined=jinja2.ChainableUndefined)
    template = environment.from_string(TEMPLATE.read_text(encoding="utf-8"))
    with atomic_file(page) as draft:
        draft.write_text(template.render(content, summary=summary), encoding="utf-8")


def _plain(finding: Finding) -> dict[str, Any]:
    rows = [{"path": path, "value": value} for path, value in finding.rows]
    return {**finding._asdict(), "verdict": verdict(finding), "rows": rows}
