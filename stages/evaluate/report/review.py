"""The content of a page: test images, and the answers of one model or two."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from diffusionad.evaluation.bootstrap import PairedDifference
from diffusionad.evaluation.curves import Curve, Histogram
from diffusionad.metrics.threshold import operating_point
from stages.common.schemas import PART_FIGURES
from stages.evaluate.report.figures_in_words import (
    SYNTHETIC,
    TITLES,
    promise_in_words,
    speak,
    speak_of_reconstructions,
    worth_of_members,
)

CURVES = {
    "roc": ("ROC", "Found images over false alarms, for every threshold; the nearer to the upper left, the better."),
    "pr": ("Precision and recall", "How many of the flagged are truly anomalous, over how many are found."),
    "pro": ("Per-region overlap", "How much of each region is marked, over the normal pixels that are marked too."),
}
CHANGES = {"better": "now right", "worse": "now wrong", "bad": "wrong in both", "good": "right in both"}


class Answer(NamedTuple):
    """The answer of one model to the test images."""

    title: str
    threshold: float
    scores: NDArray[np.float64]
    """Image scores, shape (N,)."""
    figures: Mapping[str, float | int | str | None]
    """Content of metrics.json."""
    curves: Mapping[str, Curve]
    """Curves by name (CURVES); a curve that cannot be computed has no points."""
    histogram: Histogram
    lineage: Mapping[str, str]
    reconstructs: bool
    """Whether the pictures hold a reconstruction of each image."""


class Comparison(NamedTuple):
    """The second model against the first."""

    resamples: int
    differences: Mapping[str, PairedDifference]
    """Differences by figure; an undefined one is missing."""


class Sheet(NamedTuple):
    """A large picture that another stage wrote."""

    title: str
    meaning: str
    file: str
    """Path of the picture, relative to the page."""


class Review(NamedTuple):
    """The whole content of a page."""

    title: str
    kicker: str
    images: pd.DataFrame
    """Columns path, label, defect, outline (bool), width, height; one row per test image, as the pictures."""
    answers: Sequence[Answer]
    """One model, or two: the one before and the one after."""
    fpr_limit: float
    """Largest false positive rate of the PRO curve, in (0, 1]."""
    comparison: Comparison | None
    training: pd.DataFrame | None
    """Columns step, loss_*, val_*."""
    sheets: Sequence[Sheet]


def to_values(review: Review, folder: str) -> dict[str, Any]:
    """Turn a review into the values of the template of the page.

    Args:
        review: Content of the page.
        folder: Folder of the pictures, relative to the page.
    """
    rows = _defects(review)
    figures = [speak(answer.figures, review.fpr_limit) for answer in review.answers]
    return {
        "title": review.title,
        "kicker": review.kicker,
        "folder": folder,
        "images": len(review.images),
        "outlines": bool(review.images["outline"].any()),
        "models": [_model(review, answer, spoken) for answer, spoken in zip(review.answers, figures, strict=True)],
        "part_figures": tuple(PART_FIGURES.values()),
        "synthetic": any(figure.synthetic for spoken in figures for figure in spoken),
        "comparison": review.comparison and _comparison(review, review.comparison),
        "curves": [_curve(review, name) for name in CURVES],
        "defects": rows,
        "sheets": review.sheets,
        "training": review.training is not None,
        "lineage": _lineage(review),
        "content": _content(review, folder, rows),
    }


def _content(review: Review, folder: str, defects: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the data for the scripts of the page."""
    kinds = {(row["label"], row["defect"]): row["index"] for row in defects}
    scores = np.stack([answer.scores for answer in review.answers], axis=1).tolist()
    images = [
        {
            "name": row["path"],
            "label": int(row["label"]),
            "defect": kinds[int(row["label"]), str(row["defect"])],
            "outline": bool(row["outline"]),
            "ratio": round(float(row["width"] / row["height"]), 4),
            "scores": score,
        }
        for row, score in zip(review.images.to_dict("records"), scores, strict=True)
    ]
    return {
        "folder": folder,
        "images": images,
        "defects": [row["defect"] or "unnamed" for row in defects],
        "models": [
            {
                "title": answer.title,
                "threshold": answer.threshold,
                "reconstructs": answer.reconstructs,
                "histogram": {name: np.asarray(values).tolist() for name, values in answer.histogram._asdict().items()},
            }
            for answer in review.answers
        ],
        "curves": {name: [_points(a.curves[name]) for a in review.answers if len(a.curves[name].x)] for name in CURVES},
        "training": None if review.training is None else review.training.to_dict("list"),
    }


def _points(curve: Curve) -> dict[str, list[float]]:
    return {"x": np.round(curve.x, 5).tolist(), "y": np.round(curve.y, 5).tolist()}


def _model(review: Review, answer: Answer, figures: list[Any]) -> dict[str, Any]:
    labels = review.images["label"].to_numpy()
    point = operating_point(labels, answer.scores, answer.threshold)
    reach = [float(answer.histogram.edges[0]), float(answer.histogram.edges[-1]), answer.threshold]
    # Room at both ends: a threshold above every score, which flags nothing, can be chosen too.
    room = 0.02 * (max(reach) - min(reach)) or 0.01
    return {
        "title": answer.title,
        "threshold": answer.threshold,
        "reconstructs": answer.reconstructs,
        "low": min(reach) - room,
        "high": max(reach) + room,
        "figures": figures,
        "worth": worth_of_members(answer.figures),
        "reconstructions": speak_of_reconstructions(answer.figures),
        "promise": promise_in_words(answer.figures),
        "normal": int((labels == 0).sum()),
        "anomalous": int((labels == 1).sum()),
        "counts": {
            "found": point.true_positives,
            "missed": point.false_negatives,
            "alarm": point.false_positives,
            "passed": point.true_negatives,
        },
    }


def _defects(review: Review) -> list[dict[str, Any]]:
    """Return one row per defect, normal images last."""
    rows: list[dict[str, Any]] = []
    labels, defects = review.images["label"].to_numpy(), review.images["defect"].to_numpy()
    pairs = {(int(label), str(defect)) for label, defect in zip(labels, defects, strict=True)}
    for label, defect in sorted(pairs, key=lambda pair: (-pair[0], pair[1])):
        places = np.flatnonzero((labels == label) & (defects == defect))
        cells = [
            {
                "flagged": int((answer.scores[places] >= answer.threshold).sum()),
                "median": float(np.median(answer.scores[places])),
            }
            for answer in review.answers
        ]
        rows.append({"defect": defect, "label": label, "images": len(places), "cells": cells, "index": len(rows)})
    return rows


def _curve(review: Review, name: str) -> dict[str, str]:
    title, meaning = CURVES[name]
    figure = review.answers[-1].figures
    missing = not any(len(answer.curves[name].x) for answer in review.answers)
    reason = figure.get("pixel_reason" if name == "pro" else "image_reason") or "it was not computed"
    if name == "pro" and figure.get("pixel_pro") is None and not missing:
        meaning += " Measured on synthetic defects."
    return {"name": name, "title": title, "meaning": meaning, "reason": f"No curve: {reason}." if missing else ""}


def _comparison(review: Review, comparison: Comparison) -> dict[str, Any]:
    labels = review.images["label"].to_numpy().astype(bool)
    before, after = ((answer.scores >= answer.threshold) != labels for answer in review.answers)
    counts = {"better": before & ~after, "worse": ~before & after, "bad": before & after, "good": ~before & ~after}
    names = [name for prefix in ("", SYNTHETIC) for name in (prefix + figure for figure in TITLES)]
    figures = [answer.figures for answer in review.answers]
    return {
        "resamples": comparison.resamples,
        "changes": [{"title": CHANGES[key], "count": int(which.sum())} for key, which in counts.items()],
        "rows": [
            _paired(name, [float(one[name] or 0) for one in figures], comparison.differences.get(name))
            for name in names
            if all(isinstance(one.get(name), int | float) for one in figures)
        ],
    }


def _paired(name: str, values: list[float], difference: PairedDifference | None) -> dict[str, Any]:
    title = TITLES[name.removeprefix(SYNTHETIC)] + (", synthetic defects" if name.startswith(SYNTHETIC) else "")
    row = {"title": title, "found": values, "difference": values[1] - values[0]}
    if difference is None:
        return row | {"low": None, "high": None, "share": None, "verdict": "not tested"}
    verdict = "better" if difference.low > 0 else "worse" if difference.high < 0 else "no clear difference"
    return row | {
        "low": difference.low,
        "high": difference.high,
        "share": difference.probability_better,
        "verdict": verdict,
    }


def _lineage(review: Review) -> list[dict[str, Any]]:
    names = dict.fromkeys(name for answer in review.answers for name in answer.lineage)
    rows = []
    for name in names:
        values = [answer.lineage.get(name) or "unknown" for answer in review.answers]
        rows.append({"name": name, "found": values, "differs": len(set(values)) > 1})
    return rows
