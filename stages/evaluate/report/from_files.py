"""The files that the stages wrote for a category -> its page."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from diffusionad.data.manifest import manifest_digest, read_manifest, read_metadata
from diffusionad.evaluation.curves import Curve, Histogram
from stages.common.schemas import AGAIN, read_metrics, read_test_scores
from stages.evaluate.report.page import write_page
from stages.evaluate.report.review import Answer, Review, Sheet
from stages.evaluate.report.tiles import has_reconstructions
from stages.files import file_digest
from stages.paths import CategoryPaths


def review_category(paths: CategoryPaths, fpr_limit: float) -> None:
    """Write the page of a category from the scores, figures and curves of stage `evaluate`.

    Args:
        paths: Paths of the category. Read: model, manifest, metrics, scores, curves, training curves. Written: the
            page. Its pictures and scripts are in `paths.report` already.
        fpr_limit: Largest false positive rate of the PRO curve, in (0, 1].
    """
    rows = read_manifest(paths.manifest).query("split == 'test'").reset_index(drop=True)
    table = read_test_scores(paths.scores)
    config = json.loads((paths.model / "model.json").read_text(encoding="utf-8"))
    metrics = read_metrics(paths.metrics)
    threshold = metrics.numbers.get("threshold")
    if threshold is None:
        raise ValueError(f"{paths.metrics}: no figure `threshold`; {AGAIN}")
    answer = Answer(
        title="the model",
        threshold=threshold,
        scores=table["score"].to_numpy(),
        figures=metrics.content,
        curves={name: _read_curve(file) for name, file in (("roc", paths.roc), ("pr", paths.pr), ("pro", paths.pro))},
        histogram=_read_histogram(paths.histogram, table["score"].max()),
        lineage=_lineage(paths, config),
        reconstructs=has_reconstructions(paths.report, 0),
    )
    review = Review(
        title=f"{paths.dataset} / {paths.category}",
        kicker=f"Review of {len(rows)} test images",
        images=rows[["path", "label", "defect", "width", "height"]].assign(outline=rows["mask"].notna()),
        answers=[answer],
        fpr_limit=fpr_limit,
        comparison=None,
        training=pd.read_csv(paths.training_curves) if paths.training_curves.is_file() else None,
        sheets=_sheets(paths),
    )
    write_page(paths.page, paths.report.name, review)


def _read_curve(path: Path) -> Curve:
    table = pd.read_csv(path)
    return Curve(*(table[name].to_numpy(np.float64) for name in table.columns))


def _read_histogram(path: Path, highest: float) -> Histogram:
    table = pd.read_csv(path)
    edges = table["score"].to_numpy(np.float64)
    end = 2 * edges[-1] - edges[-2] if len(edges) > 1 else highest  # all bins have the same width
    edges = np.append(edges, end)
    return Histogram(edges, table["normal"].to_numpy(), table["anomalous"].to_numpy())


def _lineage(paths: CategoryPaths, config: dict[str, Any]) -> dict[str, str]:
    """Facts that are the same in every clone; MLflow has the commit and the run of each registered version."""
    facts = read_metadata(paths.manifest)
    return {
        "data set": f"{paths.dataset} / {paths.category}",
        "licence of the data": " ".join(filter(None, (facts.get("licence"), facts.get("licence_url")))),
        "manifest, SHA-256": manifest_digest(paths.manifest),
        "weights, SHA-256": file_digest(paths.model / "model.safetensors"),
        "image size": " x ".join(map(str, config["image_size"])) + " px",
        "detector": config["model"]["kind"],
        "threshold of raw scores": repr(config["threshold"]),
        "seed": str(config["seed"]),
        "commit and settings": f"diffusionad explain --dataset {paths.dataset} --category {paths.category} VERSION",
    }


def _sheets(paths: CategoryPaths) -> list[Sheet]:
    """Pictures beside the page that earlier stages wrote."""
    return [
        Sheet(
            "Synthetic anomalies",
            "as the trainer draws them: normal image, with an anomaly, its mask.",
            paths.previews.name,
        ),
        Sheet(
            "Foreground",
            "where synthetic anomalies may lie, outlined on evenly spread normal images.",
            paths.foreground_sheet.name,
        ),
    ]
