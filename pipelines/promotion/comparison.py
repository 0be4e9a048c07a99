"""The page that compares two registered versions image by image, for a person to read before a promotion."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from mlflow import MlflowClient
from numpy.typing import NDArray

from diffusionad.data.manifest import read_manifest
from diffusionad.evaluation.bootstrap import PairedDifference
from diffusionad.evaluation.curves import Curve, image_curves, score_histogram
from pipelines.catalogue import Entry
from pipelines.promotion import registry
from pipelines.promotion.gates import LINEAGE
from pipelines.promotion.judge import score_apart
from pipelines.promotion.settings import CURVE_POINTS, ScoringConfig
from pipelines.tracking.lineage import LICENCE
from pipelines.tracking.pages import log_page
from stages.evaluate.report.page import write_page, write_scripts
from stages.evaluate.report.review import Answer, Comparison, Review
from stages.evaluate.report.tiles import has_reconstructions
from stages.files import atomic_folder

BINS = 40
"""Bins of the score histogram."""
PAGE, PICTURES = "index.html", "report"


class Pair(NamedTuple):
    """Two versions of one category; the page shows what changes from `before` to `after`."""

    entry: Entry
    before: str
    after: str


def compare(client: MlflowClient, pair: Pair, scoring: ScoringConfig, folder: Path) -> Path:
    """Score both artifacts on the current test rows and write the page.

    Args:
        client: Client of the store.
        pair: The category and the numbers of its two versions.
        scoring: Part `scoring` of section `promotion`.
        folder: Folder for index.html and the pictures; replaced if it exists.

    Returns:
        Path of the page.

    Raises:
        ValueError: If an artifact is missing or altered, or scoring fails.
    """
    name = pair.entry.model_name
    with tempfile.TemporaryDirectory() as place, atomic_folder(folder) as draft:
        folders = {
            "candidate": registry.fetch_artifact(client, name, pair.after, Path(place, "candidate")),
            "champion": registry.fetch_artifact(client, name, pair.before, Path(place, "champion")),
        }
        (draft / PICTURES).mkdir()
        answer = score_apart(pair.entry, folders, scoring, Path(place), draft / PICTURES)
        write_comparison(client, pair, answer, scoring, draft)
    return folder / PAGE


def write_comparison(
    client: MlflowClient, pair: Pair, answer: Mapping[str, Any], scoring: ScoringConfig, folder: Path
) -> None:
    """Write the page for an answer of `promotion.judge_worker` into a folder that has the pictures already."""
    rows = read_manifest(pair.entry.paths.manifest).query("split == 'test'").reset_index(drop=True)
    labels = rows["label"].to_numpy()
    versions = {"champion": pair.before, "candidate": pair.after}
    differences = {name: PairedDifference(**found) for name, found in answer["differences"].items()}
    review = Review(
        title=f"{pair.entry.model_name}: version {pair.after} against version {pair.before}",
        kicker=f"Comparison on {len(rows)} test images",
        images=rows[["path", "label", "defect", "width", "height"]].assign(outline=rows["mask"].notna()),
        answers=[
            _answer(
                answer["said"][role],
                answer["figures"][role],
                labels,
                *_describe(client, pair.entry, number),
                reconstructs=has_reconstructions(folder / PICTURES, place),
            )
            for place, (role, number) in enumerate(versions.items())
        ],
        fpr_limit=scoring.fpr_limit,
        comparison=Comparison(scoring.resamples, differences),
        training=None,
        sheets=(),
    )
    write_scripts(folder / PICTURES)
    write_page(folder / PAGE, PICTURES, review)


def log_comparison(
    client: MlflowClient, pair: Pair, answer: Mapping[str, Any], scoring: ScoringConfig, folder: Path
) -> None:
    """Write the page of a contest and log it to the run of the candidate.

    Args:
        client: Client of the store.
        pair: Champion and candidate.
        answer: Answer of `pipelines.promotion.judge_worker`.
        scoring: The settings that the answer was computed with.
        folder: Folder for the page; holds the pictures in `report` already.
    """
    write_comparison(client, pair, answer, scoring, folder)
    run_id = registry.run_of(registry.get_version(client, pair.entry.model_name, pair.after))
    log_page(client, run_id, folder / PAGE, folder / PICTURES, place_in_run(pair.before, pair.after))


def place_in_run(before: str, after: str) -> str:
    """Return the folder of the page among the artifacts of the run of `after`."""
    return f"compare/{before}-{after}"


def _answer(
    said: Mapping[str, Any],
    figures: Mapping[str, float | int | str | None],
    labels: NDArray[np.int64],
    title: str,
    lineage: Mapping[str, str],
    *,
    reconstructs: bool,
) -> Answer:
    scores = np.asarray(said["scores"], np.float64)
    roc, pr = image_curves(labels, scores, CURVE_POINTS)
    return Answer(
        title=title,
        threshold=said["threshold"],
        scores=scores,
        figures={**figures, "test_normal": int((labels == 0).sum()), "test_anomalous": int((labels == 1).sum())},
        curves={"roc": roc, "pr": pr, "pro": Curve(*(np.asarray(axis, np.float64) for axis in said["pro"]))},
        histogram=score_histogram(labels, scores, BINS),
        lineage=lineage,
        reconstructs=reconstructs,
    )


def _describe(client: MlflowClient, entry: Entry, number: str) -> tuple[str, dict[str, str]]:
    version = registry.get_version(client, entry.model_name, number)
    facts = {name: version.tags.get(name, "") for name in (*LINEAGE, *LICENCE)}
    return f"version {number}", {"run": registry.run_of(version), **facts}
