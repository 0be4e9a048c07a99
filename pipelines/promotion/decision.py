"""The gate's decision: every rule with its values and verdict, readable by people and by programs."""

import json
import math
from typing import NamedTuple

MARKS = {True: "pass", False: "FAIL"}


class Check(NamedTuple):
    """One rule and its verdict."""

    rule: str
    subject: str
    """The figure or fact that the rule is about."""
    value: float | str | None
    """The value that was found; None if there was none."""
    limit: str
    """The value that the rule requires."""
    passed: bool
    category: str = ""

    @property
    def reason(self) -> str:
        """The rule, its value and its limit, in one sentence."""
        stands = "holds" if self.passed else "does not hold"
        return f"{self.category}: {self.rule} {stands}: {self.subject} is {show(self.value)}, required is {self.limit}."


class Decision(NamedTuple):
    """Promote if every check passed."""

    checks: tuple[Check, ...]

    @property
    def promote(self) -> bool:
        """Whether there was something to check, and every check passed."""
        return bool(self.checks) and all(check.passed for check in self.checks)

    @property
    def reasons(self) -> tuple[str, ...]:
        """One sentence for each check that failed."""
        return tuple(check.reason for check in self.checks if not check.passed)

    def to_table(self) -> str:
        """Format the decision as lines for a terminal."""
        return "\n".join([*_columns(self._rows()), "", self._verdict()])

    def to_markdown(self) -> str:
        """Format the decision as a page for the run."""
        head, *rows = [f"| {' | '.join(cell.replace('|', '/') for cell in row)} |" for row in self._rows()]
        return "\n".join([f"**{self._verdict()}**", "", head, "|---|---|---|---|---|---|", *rows, ""])

    def to_json(self) -> str:
        """Return the whole decision as JSON; NaN, which JSON lacks, becomes null."""
        checks = [{**check._asdict(), "value": _finite(check.value)} for check in self.checks]
        return json.dumps({"promote": self.promote, "checks": checks}, indent=2, allow_nan=False)

    @classmethod
    def from_json(cls, text: str) -> "Decision":
        """Read what `to_json` wrote."""
        return cls(tuple(Check(**check) for check in json.loads(text)["checks"]))

    def _rows(self) -> list[tuple[str, ...]]:
        head = ("category", "rule", "subject", "found", "required", "verdict")
        return [head, *((c.category, c.rule, c.subject, show(c.value), c.limit, MARKS[c.passed]) for c in self.checks)]

    def _verdict(self) -> str:
        failed = sum(not check.passed for check in self.checks)
        return (
            "PROMOTE: every rule holds" if self.promote else f"REFUSE: {failed} of {len(self.checks)} rules do not hold"
        )


def show(value: object) -> str:
    """Format a value for a person."""
    if value is None:
        return "missing"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _columns(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _finite(value: float | str | None) -> float | str | None:
    return None if isinstance(value, float) and not math.isfinite(value) else value
