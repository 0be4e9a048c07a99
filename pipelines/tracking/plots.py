"""Draw the curves of an evaluation from the points that stage `evaluate` leaves, also for `dvc plots`."""

from collections.abc import Iterator

import pandas as pd
from matplotlib.figure import Figure

from stages.paths import CategoryPaths

SIDE_INCHES = 4.0


def draw_curves(paths: CategoryPaths, threshold: float | None) -> Iterator[tuple[str, Figure]]:
    """Yield (name, figure) of each curve that has points: roc, pr, pro, histogram.

    Args:
        paths: Paths of the category.
        threshold: Threshold of the image score, drawn into the histogram; None if it is not known.
    """
    for file in (paths.roc, paths.pr, paths.pro):
        table = pd.read_csv(file) if file.is_file() else pd.DataFrame()
        if len(table):
            x, y = table.columns
            figure = Figure(figsize=(SIDE_INCHES, SIDE_INCHES), layout="constrained")
            axes = figure.subplots()
            axes.plot(table[x], table[y])
            axes.set(xlabel=x.replace("_", " "), ylabel=y.replace("_", " "), title=file.stem.upper(), ylim=(0, 1.02))
            yield file.stem, figure
    if paths.histogram.is_file():
        yield paths.histogram.stem, _draw_histogram(pd.read_csv(paths.histogram), threshold)


def _draw_histogram(table: pd.DataFrame, threshold: float | None) -> Figure:
    figure = Figure(figsize=(1.5 * SIDE_INCHES, SIDE_INCHES), layout="constrained")
    axes = figure.subplots()
    for kind in ("normal", "anomalous"):
        axes.step(table["score"], table[kind], where="post", label=kind)
    if threshold is not None:
        axes.axvline(threshold, color="black", linestyle="--", label=f"threshold {threshold:.3f}")
    axes.set(xlabel="score", ylabel="test images", title="scores of the test images")
    axes.legend()
    return figure
