"""Reviews of drawn photographs, written as the stages write them, with pictures and scripts."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from diffusionad.evaluation.bootstrap import PairedDifference
from diffusionad.evaluation.curves import NO_CURVE, Curve, image_curves, score_histogram
from stages.evaluate.report.page import write_page, write_scripts
from stages.evaluate.report.review import Answer, Comparison, Review, Sheet
from stages.evaluate.report.tiles import draw_answers, draw_photographs

SIZE = (40, 60)
MASK = np.zeros(SIZE, np.uint8)
MASK[10:20, 20:40] = 255


def figures_of(has_anomalous, masks):
    found = {"image_auroc": 0.9, "image_auroc_low": 0.85, "image_auroc_high": 0.93, "image_ap": 0.8, "image_f1": 0.7}
    pixels = {"pixel_auroc": 0.8, "pixel_ap": 0.4, "pixel_pro": 0.6}
    nothing = {"pixel_reason": "no anomalous test image has a mask"}
    images = found if has_anomalous else {"image_reason": "there is no anomalous image"}
    return {**images, **(pixels if masks else nothing)}


def answer(title, labels, scores, threshold, masks):
    both = 0 < labels.sum() < len(labels)
    roc, pr = image_curves(labels, scores, 50)
    return Answer(
        title=title,
        threshold=threshold,
        scores=scores,
        figures=figures_of(both, masks),
        curves={
            "roc": roc,
            "pr": pr,
            "pro": Curve(np.asarray([0.0, 0.3]), np.asarray([0.0, 0.8])) if masks else NO_CURVE,
        },
        histogram=score_histogram(labels, scores, 10),
        lineage={"weights": f"of {title}", "data set": "toys"},
        reconstructs=True,
    )


def draw(folder, count, masks, models):
    """Photographs of noise with a bright bar, on the way that evaluate goes."""
    rng = np.random.default_rng(0)
    files = []
    for index in range(count):
        files.append(folder / f"source-{index}.png")
        Image.fromarray(rng.integers(0, 120, (*SIZE, 3)).astype(np.uint8)).save(files[-1])
    mask = folder / "mask.png"
    Image.fromarray(MASK).save(mask)
    pictures = folder / "report"
    pictures.mkdir()
    draw_photographs(pictures, 0, files, [mask if masks else None] * count)
    for model in range(models):
        maps = rng.random((count, 16, 16)).astype(np.float32)
        draw_answers(pictures, 0, model, rng.random((count, 3, 16, 16)).astype(np.float32), maps, 0.5)
    write_scripts(pictures)


def write(folder, labels, scores, threshold=0.5, *, names=None, masks=True, before=None, pictures=None):
    """Write a page.

    Args:
        folder: An empty folder.
        labels: Labels of the test images.
        scores: Image scores of the model.
        threshold: Threshold of the model.
        names: Paths of the images.
        masks: Whether anomalous images have one.
        before: Scores of an earlier model, for a comparison.
        pictures: Number of images that get pictures; all without it.
    """
    labels = np.asarray(labels)
    count = len(labels)
    names = names or [f"test/{index:04}.png" for index in range(count)]
    answers = [answer("version 1", labels, np.asarray(before), threshold, masks)] if before is not None else []
    answers.append(answer("version 2" if answers else "the model", labels, np.asarray(scores), threshold, masks))
    draw(folder, pictures or count, masks, len(answers))
    frame = pd.DataFrame({"path": names, "label": labels, "width": SIZE[1], "height": SIZE[0]})
    frame["defect"] = np.where(labels == 1, "hole", "good")
    frame["outline"] = masks & (labels == 1)
    review = Review(
        title="toys / noise",
        kicker="Review",
        images=frame,
        answers=answers,
        fpr_limit=0.3,
        comparison=Comparison(20, {"image_auroc": PairedDifference(0.01, 0.1, 0.99)}) if before is not None else None,
        training=pd.DataFrame({"step": [1, 2], "loss_total": [1.0, 0.5], "val_image_auroc": [0.5, 0.8]}),
        sheets=[Sheet("Synthetic anomalies", "as drawn.", "synthetic.png")],
    )
    write_page(folder / "index.html", "report", review)
    return SimpleNamespace(file=folder / "index.html", folder=folder, review=review, names=names)


@pytest.fixture(scope="session")
def write_review():
    return write
