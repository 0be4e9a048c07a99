"""Score the test split, once: anomaly maps, figures with intervals, curves, pictures and a page."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor
from tqdm import tqdm

from diffusionad.data.manifest import manifest_digest, read_manifest
from diffusionad.detector import Detector
from diffusionad.evaluation.curves import NO_CURVE, image_curves, pro_curve, score_histogram
from diffusionad.evaluation.tally import Tally, sweep_tally, tally
from diffusionad.metrics.pixels import Maps, Masks
from diffusionad.networks.layout import best_device
from diffusionad.runtime.batches import to_tensor
from diffusionad.section import Section
from stages import command
from stages.common.schemas import write_metrics, write_test_scores
from stages.evaluate.figures import (
    Calibration,
    Figures,
    FiguresConfig,
    absent,
    compared,
    image_figures,
    pixel_figures,
    promise_figures,
    threshold_figures,
)
from stages.evaluate.maps import MapWriter, PackedMasks, StoredMaps
from stages.evaluate.members import MemberFigures
from stages.evaluate.pictures import Gallery, choose, draw_overview
from stages.evaluate.reconstructions import reconstruction_figures
from stages.evaluate.report.figures_in_words import is_short, promise_in_words
from stages.evaluate.report.from_files import review_category
from stages.evaluate.report.page import write_scripts
from stages.evaluate.report.tiles import draw_answers, draw_photographs, has_reconstructions
from stages.evaluate.truth import Truth, read_truth
from stages.files import atomic_file, atomic_folder, write_json
from stages.params import read_section
from stages.paths import CategoryPaths

LOG = logging.getLogger(__name__)
BATCH = 16
MAPS = "test.npy"


class EvaluationConfig(Section):
    """Section `evaluation` of params.yaml."""

    figures: FiguresConfig
    curve_points: int = Field(ge=2, description="points of each stored curve")
    histogram_bins: int = Field(ge=1)
    pictures: int = Field(ge=1, description="test images of each kind (best, worst, borderline) that are drawn")


class Marked(NamedTuple):
    """Anomaly maps with their ground truth; both can be iterated over again, one image at a time."""

    maps: Maps
    """Mask logits, float16, shape (H, W) each."""
    masks: Masks
    """Masks, bool, shape (H, W) each; empty for a normal image."""
    counts: Tally
    """Tally of all their pixels."""
    prefix: str
    """Prefix of the names of the figures: "synthetic_" for synthetic defects, "" for real ones."""
    reconstructions: Tensor | None = None
    """Those of the synthetic test set, (N, 3, H, W), in [0, 1]; None for real defects and where none are made."""


def evaluate(evaluation: EvaluationConfig, *, paths: CategoryPaths) -> None:
    """Read the model and the test split; write scores, maps, figures, curves, pictures and the page.

    Where no anomalous test image has a mask, pixel figures come from the synthetic test set and are named
    `synthetic_*`; a figure that cannot be computed is null, with the reason beside it.

    Raises:
        ValueError: If the model was trained on another manifest, or there is no test image.
    """
    detector = Detector.load(paths.model, best_device())
    if detector.config.manifest != manifest_digest(paths.manifest):
        raise ValueError(
            f"{paths.model}: trained on another version of {paths.manifest}; run `dvc repro` to train again"
        )
    manifest = read_manifest(paths.manifest)
    photographs, rows = int((manifest["label"] == 0).sum()), manifest.query("split == 'test'").reset_index(drop=True)
    if rows.empty:
        raise ValueError(f"{paths.manifest}: no image in split `test`; there is nothing to evaluate on")

    truth = read_truth(rows, paths)
    gallery = Gallery(rows, detector.threshold, evaluation.pictures, map_threshold=detector.config.threshold)
    members = MemberFigures(detector, truth)
    with atomic_folder(paths.report) as page, atomic_folder(paths.maps) as draft:
        write_scripts(page)
        table = _score(detector, rows, truth, gallery, members, draft / MAPS, page, str(paths))
        marked = _marked(detector, truth, members, draft / MAPS)
        figures = _figures(evaluation.figures, detector, table, marked, photographs)
        figures |= members.figures(evaluation.figures.fpr_limit)
        if has_reconstructions(page, 0):
            made = None if marked is None else marked.reconstructions
            figures |= reconstruction_figures(truth.synthetic, made, paths.images)
        _write_curves(evaluation, table, marked, paths)
    write_test_scores(paths.scores, table)
    with atomic_folder(paths.pictures) as draft:
        shown = table.assign(mask=rows["mask"])
        for name, chosen in choose(shown, detector.threshold, evaluation.pictures).items():
            draw_overview(draft / f"{name}.png", gallery, chosen, paths.images)
    write_metrics(paths.metrics, figures)
    write_json(paths.figures, compared(figures))
    review_category(paths, evaluation.figures.fpr_limit)
    told = ", ".join(f"{name} {value:.3f}" for name, value in compared(figures).items())
    LOG.info("%s: %s, on %d test images", paths, told or "no figures", len(rows))
    level = logging.WARNING if is_short(figures) else logging.INFO
    LOG.log(level, "%s: false alarms: %s", paths, promise_in_words(figures))


def _score(
    detector: Detector,
    rows: pd.DataFrame,
    truth: Truth,
    gallery: Gallery,
    members: MemberFigures,
    file: Path,
    page: Path,
    name: str,
) -> pd.DataFrame:
    """Predict each image once: write its map and its pictures for the page; return the scores and verdicts."""
    scores, outlines = [], truth.outlines
    with file.open("wb") as stream:
        maps = MapWriter(stream, len(rows), detector.config.image_size)
        for start in tqdm(range(0, len(rows), BATCH), desc=f"evaluate {name}", disable=None):
            files = truth.files[start : start + BATCH]
            prediction = detector.predict(files, batch_size=BATCH)
            scores.append(prediction.image_score.numpy())
            # float16 keeps three digits of a logit; of a probability, large values would all round to 1.
            maps.write(prediction.mask_logits.numpy())
            gallery.add(prediction)
            members.add_images(start, prediction.member_logits)
            draw_photographs(page, start, files, outlines[start : start + BATCH])
            made = None if prediction.reconstruction is None else prediction.reconstruction.numpy()
            draw_answers(page, start, 0, made, prediction.anomaly_map.numpy(), detector.config.threshold)
    score = np.concatenate(scores)
    table = rows[["path", "sha256", "label", "defect"]]
    return table.assign(score=score, is_anomalous=score >= detector.threshold)


def _marked(detector: Detector, truth: Truth, members: MemberFigures, file: Path) -> Marked | None:
    """Pair maps with masks: of the real defects where there are any, otherwise of the synthetic test set."""
    maps: Maps
    made: Tensor | None = None
    if truth.masks:
        maps = StoredMaps(file, list(truth.masks))
    elif truth.synthetic is not None:
        maps, parts = [], []
        for images in torch.split(to_tensor(truth.synthetic.images), BATCH):
            prediction = detector.predict(images, batch_size=BATCH)
            maps += list(prediction.mask_logits.numpy().astype(np.float16))
            members.add_pixels(prediction.member_logits)
            if prediction.reconstruction is not None:
                parts.append(prediction.reconstruction)
        made = torch.cat(parts) if parts else None
    else:
        return None
    size = detector.config.image_size
    masks = PackedMasks(truth.read_masks(size), size)
    return Marked(maps, masks, tally(maps, masks), truth.prefix, made)


def _figures(
    config: FiguresConfig, detector: Detector, table: pd.DataFrame, marked: Marked | None, photographs: int
) -> Figures:
    labels, scores = table["label"].to_numpy(), table["score"].to_numpy()
    figures: Figures = image_figures(config, labels, scores)
    if marked is None:
        figures |= absent("", "no anomalous test image has a mask, and there is no synthetic test set")
    else:
        figures |= pixel_figures(config, marked.prefix, marked.maps, marked.masks, marked.counts)
        if marked.prefix:
            figures |= absent("", "no anomalous test image has a mask; see the synthetic_ figures")
    test_normal = int((labels == 0).sum())
    figures |= threshold_figures(labels, scores, detector.threshold)
    figures |= promise_figures(Calibration.of(detector.config), test_normal, photographs)
    marked_count = 0 if marked is None else sum(mask.any() for mask in marked.masks)
    return figures | {
        "test_normal": test_normal,
        "test_anomalous": int((labels == 1).sum()),
        f"{marked.prefix if marked else ''}test_masks": int(marked_count),
    }


def _write_curves(
    evaluation: EvaluationConfig, table: pd.DataFrame, marked: Marked | None, paths: CategoryPaths
) -> None:
    labels, scores = table["label"].to_numpy(), table["score"].to_numpy()
    points, pro = evaluation.curve_points, NO_CURVE
    roc, pr = image_curves(labels, scores, points)
    if marked is not None:
        pro = pro_curve(sweep_tally(marked.counts), evaluation.figures.fpr_limit, points)
    bins = score_histogram(labels, scores, evaluation.histogram_bins)
    tables: dict[Path, dict[str, Any]] = {
        paths.roc: {"false_positive_rate": roc.x, "true_positive_rate": roc.y},
        paths.pr: {"recall": pr.x, "precision": pr.y},
        paths.pro: {"false_positive_rate": pro.x, "per_region_overlap": pro.y},
        paths.histogram: {"score": bins.edges[:-1], "normal": bins.normal, "anomalous": bins.anomalous},
    }
    for path, columns in tables.items():
        with atomic_file(path) as draft:
            pd.DataFrame(columns).to_csv(draft, index=False)


def _stage(_key: str, paths: CategoryPaths) -> None:
    evaluate(read_section(EvaluationConfig, "evaluation"), paths=paths)


def main() -> None:
    command.run(_stage)
