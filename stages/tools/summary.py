"""The figures of all categories, for a terminal, with the paths of their pages: `python -m stages.tools.summary`."""

import sys
from collections.abc import Iterator, Mapping

from ruamel.yaml import YAML

from stages.common.schemas import PART_FIGURES, read_metrics
from stages.evaluate.report.figures_in_words import promise_in_words, speak, speak_of_reconstructions, worth_of_members
from stages.params import PARAMS, read_category
from stages.paths import CategoryPaths

SYNTHETIC = "on synthetic defects"


def lines(paths: CategoryPaths, fpr_limit: float) -> Iterator[str]:
    """Yield the figures of one category, with their intervals, and the path of its page.

    Args:
        paths: Paths of the category.
        fpr_limit: Largest false positive rate of the PRO curve, in (0, 1].
    """
    name = str(paths)
    if not paths.metrics.is_file():
        yield f"{name}: not evaluated yet; run `dvc repro`"
        return
    figures = read_metrics(paths.metrics).content
    yield f"{name}: {_verdicts(figures)}"
    if promise := promise_in_words(figures):
        yield f"  {'False alarms':<24}  {promise}"
    for spoken in speak(figures, fpr_limit):
        if spoken.value is None:
            yield f"  {spoken.title:<24}  {spoken.meaning}"
            continue
        interval = "" if spoken.low is None or spoken.high is None else f"{spoken.low:.3f} to {spoken.high:.3f}"
        on = SYNTHETIC if spoken.synthetic else ""
        yield f"  {spoken.title:<24}  {spoken.value:.3f}  {interval:<14}  {on}".rstrip()
    yield from _worth(figures)
    for one in speak_of_reconstructions(figures):
        yield f"  {f'Reconstruction: {one.title.lower()}':<36}  {one.value or one.meaning}"
    yield f"  look at it: {paths.page}"


def _verdicts(figures: Mapping[str, float | int | str | None]) -> str:
    recall, false_alarms = figures.get("at_threshold_recall"), figures.get("at_threshold_false_alarm_rate")
    found = "no anomalous test images" if recall is None else f"{100 * recall:.0f} % of anomalous test images are found"
    flagged = "no normal ones" if false_alarms is None else f"{100 * false_alarms:.0f} % of normal ones flagged"
    return f"{found}, {flagged}"


def _worth(figures: Mapping[str, float | int | str | None]) -> Iterator[str]:
    if rows := worth_of_members(figures):
        width = max(24, *(len(row.title) for row in rows))
        yield f"  {'what each member is worth':<{width}}  weight  {'  '.join(PART_FIGURES.values())}"
    for row in rows:
        weight = "" if row.weight is None else f"{row.weight:.2f}"
        cells = ("-" if value is None else f"{value:.3f}" for value in row.values)
        values = "  ".join(f"{cell:>{len(title)}}" for cell, title in zip(cells, PART_FIGURES.values(), strict=True))
        yield f"  {row.title:<{width}}  {weight:>6}  {values}"


def main() -> None:
    params = YAML(typ="safe").load(PARAMS)
    for key in params["categories"]:
        category = read_category(key)
        paths = CategoryPaths(category.dataset, category.category)
        for line in lines(paths, params["evaluation"]["figures"]["fpr_limit"]):
            sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
