"""The table and the figure of an ablation."""

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from pipelines.ablation.run import RowResult
from stages.common.schemas import Metrics
from stages.files import atomic_file

METRICS = ("image_auroc", "pixel_pro", "pixel_ap")
SHOWN = {"image_auroc": "image AUROC", "pixel_pro": "PRO", "pixel_ap": "pixel AP"}
SYNTHETIC = "synthetic_"


def tabulate(results: list[RowResult]) -> pd.DataFrame:
    """Make a table with one line per row: means over seeds.

    Columns: group, row, seeds; `on` ("real" or "synthetic" defects, of the pixel figures); for each of METRICS its mean
    over seeds, `_sd` (standard deviation over seeds, missing for one), `_low` and `_high` (95 % over test images, mean
    over seeds). A figure that does not exist is missing. A row whose detector has members is followed by lines
    for each member alone and for the ensemble without it, from the same training and without intervals.
    """
    lines = []
    results = [line for result in results for line in (result, *_parts(result))]
    for group, name in dict.fromkeys((result.group, result.name) for result in results):
        figures = [result.figures for result in results if (result.group, result.name) == (group, name)]
        synthetic = any(f"{SYNTHETIC}pixel_ap" in figure for figure in figures)
        line = {"group": group, "row": name, "seeds": len(figures), "on": "synthetic" if synthetic else "real"}
        for metric in METRICS:
            key = f"{SYNTHETIC}{metric}" if synthetic and metric.startswith("pixel") else metric
            values = _column(figures, key)
            line[metric] = values.mean()
            line[f"{metric}_sd"] = values.std(ddof=1) if len(values) > 1 else np.nan
            line |= {f"{metric}_{end}": _column(figures, f"{key}_{end}").mean() for end in ("low", "high")}
        lines.append(line)
    return pd.DataFrame(lines)


def _parts(result: RowResult) -> list[RowResult]:
    return [
        result._replace(name=f"{result.name}: {part.title}", figures=part.figures)
        for part in Metrics(result.figures).parts
    ]


def write_report(table: pd.DataFrame, folder: Path, title: str) -> None:
    """Write table.csv, table.md and figure.png, each atomically."""
    with atomic_file(folder / "table.csv") as draft:
        table.to_csv(draft, index=False)
    with atomic_file(folder / "table.md") as draft:
        draft.write_text(to_markdown(table, title), encoding="utf-8")
    with atomic_file(folder / "figure.png") as draft:
        _draw(table, title).savefig(draft, format="png", metadata={"Software": None})


def to_markdown(table: pd.DataFrame, title: str) -> str:
    """Write the table as Markdown: `0.871 (0.840 to 0.899)`, with `± sd` where there are several seeds."""
    defects = " and ".join(sorted(set(table["on"])))
    lines = [f"# {title}", "", f"95 % intervals over test images; ± is the spread over seeds; {defects} defects.", ""]
    lines += [f"| part | row | {' | '.join(SHOWN.values())} |", "|---" * (2 + len(METRICS)) + "|"]
    lines += [
        f"| {line['group']} | {line['row']} | {' | '.join(_cell(line, metric) for metric in METRICS)} |"
        for line in table.to_dict("records")
    ]
    return "\n".join(lines) + "\n"


def _cell(line: Mapping[Hashable, Any], metric: str) -> str:
    if np.isnan(line[metric]):
        return "-"
    spread = "" if np.isnan(line[f"{metric}_sd"]) else f" ± {line[f'{metric}_sd']:.3f}"
    if np.isnan(line[f"{metric}_low"]):
        return f"{line[metric]:.3f}{spread}"
    return f"{line[metric]:.3f}{spread} ({line[f'{metric}_low']:.3f} to {line[f'{metric}_high']:.3f})"


def _column(figures: list[dict[str, float | None]], key: str) -> pd.Series:
    return pd.Series([figure.get(key) for figure in figures], dtype="float64")


def _draw(table: pd.DataFrame, title: str) -> Figure:
    """Dots with intervals: one line per row, one panel per metric."""
    figure = Figure(figsize=(12, 1.2 + 0.28 * len(table)), layout="constrained", dpi=120)
    figure.suptitle(title)
    panels = figure.subplots(1, len(METRICS), sharey=True)
    places = np.arange(len(table))[::-1]
    for panel, metric in zip(panels, METRICS, strict=True):
        centre = table[metric]
        below, above = centre - table[f"{metric}_low"], table[f"{metric}_high"] - centre
        for group in table["group"].unique():
            chosen = (table["group"] == group).to_numpy()
            spread = [side[chosen].fillna(0).clip(lower=0) for side in (below, above)]  # no interval: no bar
            panel.errorbar(centre[chosen], places[chosen], xerr=spread, fmt="o", markersize=4, capsize=2, label=group)
        panel.set_title(SHOWN[metric], fontsize=10)
        panel.grid(axis="x", alpha=0.3)
    panels[0].set_yticks(places, table["row"], fontsize=8)
    handles, groups = panels[-1].get_legend_handles_labels()
    figure.legend(handles, groups, loc="outside lower center", ncols=len(groups), fontsize=8)
    return figure
