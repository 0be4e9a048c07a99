"""Score registered artifacts side by side: `python -m pipelines.promotion.judge_worker REQUEST.json ANSWER.json`.

It runs in its own process for two reasons: its caller does not load torch, and each artifact runs the code that was
registered with it, not that of the checkout. The figures of all artifacts are computed by the code of the checkout.
"""

import io
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from mlflow.pyfunc import PyFuncModel
from numpy.typing import NDArray
from PIL import Image

from diffusionad.data.manifest import manifest_digest, read_manifest
from diffusionad.deployment.latency import measure
from diffusionad.evaluation.bootstrap import (
    PairedDifference,
    bootstrap_image_metrics,
    bootstrap_pixel_metrics,
    draw_resamples,
    paired_bootstrap,
)
from diffusionad.evaluation.curves import NO_CURVE, pro_curve
from diffusionad.evaluation.tally import tally
from diffusionad.metrics.pixels import sweep_pixels
from pipelines.promotion.settings import CURVE_POINTS, ScoringConfig
from pipelines.serving.packaging import load_served
from stages.command import leave_at_once
from stages.evaluate.figures import (
    Calibration,
    Figures,
    FiguresConfig,
    absent,
    image_figures,
    pixel_figures,
    promise_figures,
)
from stages.evaluate.report.tiles import draw_answers, draw_photographs
from stages.evaluate.truth import Truth, read_truth
from stages.files import read_json, write_json
from stages.paths import CategoryPaths

BATCH = 16
SMOKE = 4
"""Number of images that also go through the served interface, whose scores must be those of the detector."""
ROLES = ("champion", "candidate")
"""Roles in the order in which a page shows them: before and after."""


class Outcome(NamedTuple):
    """The answer of a model to the test set."""

    detector: Any
    scores: NDArray[np.float64]
    """Image scores, shape (N,)."""
    maps: list[NDArray[np.float16]]
    """Mask logits of the images whose pixel truth is known, float16, shape (H, W) each."""
    masks: list[NDArray[np.bool_]]
    """Masks of these images, bool, at the size of the model's maps."""


def score(
    config: ScoringConfig, paths: CategoryPaths, folders: Mapping[str, Path], pictures: Path | None
) -> dict[str, Any]:
    """Score each artifact on the test split, compare the candidate with the champion, and time all of them.

    Args:
        config: Part `scoring` of section `promotion`: bootstrap and race.
        paths: Paths of the category's data.
        folders: Artifacts by role; `candidate` and, if there is one, `champion`.
        pictures: Folder for the pictures of `stages.evaluate.report.tiles`; None draws none.

    Returns:
        manifest (digest), figures (by role), differences and lower_bounds (by figure, candidate minus champion),
        latency_ms (by role), said (by role: threshold, scores, points of the PRO curve).

    Raises:
        ValueError: If the served interface and the detector disagree, or there is no test image.
    """
    models = {role: load_served(folder) for role, folder in folders.items()}
    manifest = read_manifest(paths.manifest)
    photographs, rows = int((manifest["label"] == 0).sum()), manifest.query("split == 'test'")
    if rows.empty:
        raise ValueError(f"{paths.manifest}: no image in split `test`; there is nothing to judge on")
    truth = read_truth(rows, paths)
    if pictures is not None:
        draw_photographs(pictures, 0, truth.files, truth.outlines)
    outcomes = {role: _run(model, truth, pictures, ROLES.index(role)) for role, model in models.items()}
    images = [_picture(truth.files[0])]
    race = measure(
        {role: _call(outcome.detector, images) for role, outcome in outcomes.items()},
        config.race_rounds,
        config.race_warmup,
    )
    figures = FiguresConfig(fpr_limit=config.fpr_limit, resamples=config.resamples, seed=config.seed)
    differences = _compare(config, truth, outcomes["candidate"], outcomes["champion"]) if "champion" in outcomes else {}
    return {
        "manifest": manifest_digest(paths.manifest),
        "figures": {role: _figures(figures, outcome, truth, photographs) for role, outcome in outcomes.items()},
        "differences": {name: difference._asdict() for name, difference in differences.items()},
        "lower_bounds": {name: difference.low for name, difference in differences.items()},
        "latency_ms": {role: latency.ms_p50 for role, latency in race.items()},
        "said": {role: _say(config, outcome) for role, outcome in outcomes.items()},
    }


def _run(model: PyFuncModel, truth: Truth, pictures: Path | None, place: int) -> Outcome:
    detector = model.unwrap_python_model().detector  # type: ignore[no-untyped-call]  # mlflow types a part of itself

    def draw(first: int, prediction: Any) -> None:  # noqa: ANN401  # a class of the artifact's own code
        if pictures is not None:
            made = None if prediction.reconstruction is None else prediction.reconstruction.numpy()
            draw_answers(pictures, first, place, made, prediction.anomaly_map.numpy(), detector.config.threshold)

    scores, maps = _predict(detector, truth.files, draw)
    if truth.synthetic is None:
        kept = [maps[index] for index in truth.masks]
    else:
        images = [Image.fromarray(np.round(image * 255).astype(np.uint8)) for image in truth.synthetic.images]
        _, kept = _predict(detector, images, lambda _first, _prediction: None)
    masks = list(truth.read_masks(detector.config.image_size))
    request = pd.DataFrame({"image": [file.read_bytes() for file in truth.files[:SMOKE]]})
    served = pd.DataFrame(model.predict(request))
    # In the same batch as they are served: rounding errors depend on it.
    expected = detector.predict(truth.files[:SMOKE], batch_size=BATCH).image_score.numpy()
    if not np.allclose(served["score"], expected, atol=1e-6):
        raise ValueError(f"served scores {list(served['score'])} are not the detector's {list(expected)}")
    return Outcome(detector, scores, kept, masks)


def _predict(
    detector: Any,  # noqa: ANN401  # a class of the artifact's own code
    images: Sequence[Any],
    each: Callable[[int, Any], None],
) -> tuple[NDArray[np.float64], list[NDArray[np.float16]]]:
    scores, maps = [], []
    for first in range(0, len(images), BATCH):
        prediction = detector.predict(images[first : first + BATCH], batch_size=BATCH)
        scores.append(prediction.image_score.numpy())
        maps += list(prediction.mask_logits.numpy().astype(np.float16))
        each(first, prediction)
    return np.concatenate(scores), maps


def _figures(config: FiguresConfig, outcome: Outcome, truth: Truth, photographs: int) -> Figures:
    figures = image_figures(config, truth.labels, outcome.scores)
    calibration, test_normal = Calibration.of(outcome.detector.config), int((truth.labels == 0).sum())
    figures |= promise_figures(calibration, test_normal, photographs)
    if outcome.masks:
        counts = tally(outcome.maps, outcome.masks)
        return figures | pixel_figures(config, truth.prefix, outcome.maps, outcome.masks, counts)
    return figures | absent("", "no masks")


def _say(config: ScoringConfig, outcome: Outcome) -> dict[str, Any]:
    pro = NO_CURVE
    if outcome.masks:
        pro = pro_curve(sweep_pixels(outcome.maps, outcome.masks), config.fpr_limit, CURVE_POINTS)
    return {
        # A version that was registered before scores had one scale has the threshold of its raw scores alone.
        "threshold": getattr(outcome.detector, "threshold", outcome.detector.config.threshold),
        "scores": outcome.scores.tolist(),
        "pro": [axis.tolist() for axis in pro],
    }


def _compare(config: ScoringConfig, truth: Truth, candidate: Outcome, champion: Outcome) -> dict[str, PairedDifference]:
    differences: dict[str, PairedDifference] = {}
    pairs: list[tuple[str, Sequence[str], Any]] = []
    draws = draw_resamples(truth.labels, config.resamples, np.random.default_rng(config.seed))
    images = [bootstrap_image_metrics(truth.labels, outcome.scores, draws) for outcome in (candidate, champion)]
    pairs.append(("image_", ("auroc", "ap", "f1"), images))
    if candidate.masks:
        # Images are paired, not pixels: the maps of the two may be of different sizes.
        labels = [int(mask.any()) for mask in candidate.masks]
        draws = draw_resamples(labels, config.resamples, np.random.default_rng(config.seed))
        pixels = [bootstrap_pixel_metrics(o.maps, o.masks, config.fpr_limit, draws) for o in (candidate, champion)]
        pairs.append((f"{truth.prefix}pixel_", ("auroc", "ap", "pro"), pixels))
    for prefix, names, (ours, theirs) in pairs:
        for name in names:
            try:
                differences[prefix + name] = paired_bootstrap(getattr(ours, name), getattr(theirs, name))
            except ValueError:
                # Undefined: left out, and the gate refuses what is missing.
                continue
    return differences


def _call(detector: Any, images: list[Image.Image]) -> Any:  # noqa: ANN401  # a class of the artifact's own code
    return lambda: detector.predict(images)


def _picture(file: Path) -> Image.Image:
    image = Image.open(io.BytesIO(file.read_bytes()))
    image.load()
    return image


def main() -> None:
    """Read the request, write the answer."""
    leave_at_once()
    request = read_json(Path(sys.argv[1]))
    paths = CategoryPaths(request["dataset"], request["category"])
    folders = {role: Path(folder) for role, folder in request["folders"].items()}
    try:
        pictures = request["pictures"] and Path(request["pictures"])
        answer = score(ScoringConfig.model_validate(request["scoring"]), paths, folders, pictures)
    except ValueError as error:
        sys.exit(f"error: {error}")
    write_json(Path(sys.argv[2]), answer)


if __name__ == "__main__":
    main()
