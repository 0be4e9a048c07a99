import numpy as np
import pytest

from diffusionad.evaluation.tally import tally
from stages.evaluate.figures import (
    Calibration,
    FiguresConfig,
    absent,
    compared,
    image_figures,
    pixel_figures,
    promise_figures,
    threshold_figures,
)
from stages.evaluate.report.figures_in_words import is_short, promise_in_words

CONFIG = FiguresConfig(fpr_limit=0.3, resamples=100, seed=0)
LABELS = np.array([0, 0, 0, 1, 1, 1])


def test_a_perfect_detector_has_full_figures_and_intervals_of_no_width():
    figures = image_figures(CONFIG, LABELS, LABELS + np.linspace(0, 0.1, 6))

    for name in ("image_auroc", "image_ap", "image_f1"):
        assert (figures[name], figures[f"{name}_low"], figures[f"{name}_high"]) == (1, 1, 1)


def test_the_estimate_lies_in_its_interval():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 40)

    figures = image_figures(CONFIG, labels, labels + rng.normal(0, 1, 80))

    assert 0.5 < figures["image_auroc_low"] < figures["image_auroc"] < figures["image_auroc_high"] < 1


def test_without_anomalous_images_a_figure_is_null_and_says_why():
    figures = image_figures(CONFIG, np.zeros(3, int), np.arange(3.0))

    assert figures["image_auroc"] is None
    assert "anomalous" in figures["image_reason"]
    assert "image_auroc_low" not in figures


def test_pixel_figures_carry_the_prefix_of_their_defects():
    mask = np.zeros((4, 4), bool)
    mask[1:3, 1:3] = True

    maps, masks = [mask.astype(float), np.zeros((4, 4))], [mask, ~mask & mask]
    figures = pixel_figures(CONFIG, "synthetic_", maps, masks, tally(maps, masks))

    assert figures["synthetic_pixel_pro"] == pytest.approx(1)
    assert not any(name.startswith("pixel") for name in figures)


def test_pixel_figures_that_do_not_exist_are_null_with_the_reason():
    assert absent("", "no mask") == {
        "pixel_auroc": None,
        "pixel_ap": None,
        "pixel_pro": None,
        "pixel_reason": "no mask",
    }


def test_the_threshold_counts_what_it_flags():
    figures = threshold_figures(LABELS, np.array([0.1, 0.2, 0.6, 0.4, 0.7, 0.8]), 0.5)

    assert figures["threshold"] == 0.5
    assert figures["at_threshold_precision"] == pytest.approx(2 / 3)
    assert figures["at_threshold_recall"] == pytest.approx(2 / 3)
    assert figures["at_threshold_false_alarm_rate"] == pytest.approx(1 / 3)


def test_what_the_threshold_promised_stands_beside_what_it_did():
    figures = promise_figures(Calibration(0.9, np.linspace(0, 1, 99).tolist(), None, None), 40, 1000)

    assert figures["promised_false_alarm_rate"] == pytest.approx(0.11)
    assert 0 <= figures["promised_false_alarm_rate_low"] < 0.11 < figures["promised_false_alarm_rate_high"] < 0.3
    assert figures["calibration_images"] == 99


@pytest.mark.parametrize(
    ("images", "photographs", "needed_photographs"), [(1, 12, 228), (29, 40, 27), (19, 190, 190), (18, 180, 190)]
)
def test_what_so_few_images_can_promise_and_how_many_it_would_take_is_said(images, photographs, needed_photographs):
    scores = np.linspace(0.1, 0.4, images).tolist()
    figures = promise_figures(Calibration(0.5, scores, 0.05, images // 2), 40, photographs)

    assert figures["promisable_false_alarm_rate"] == figures["promised_false_alarm_rate"] == 1 / (images + 1)
    assert figures["calibration_images_by_copies"] == images // 2
    assert (figures["asked_false_alarm_rate"], figures["calibration_images_needed"]) == (0.05, 19)
    assert figures["photographs_needed"] == needed_photographs
    assert is_short(figures) == (images < 19)
    assert ("TOO FEW for the 5.0 % asked" in promise_in_words(figures)) == (images < 19)


def test_a_model_without_the_scores_of_normal_images_promises_nothing_and_says_why():
    figures = promise_figures(Calibration(0.5, None, None, None), 40, 1000)

    assert figures["promised_false_alarm_rate"] is None
    assert "train it again" in figures["promised_reason"]


def test_what_a_person_compares_is_rounded_and_leaves_out_what_does_not_exist():
    figures = {"image_auroc": 0.98765432, "image_auroc_low": 0.9, "pixel_pro": None, "pixel_reason": "no mask"}
    figures |= {"synthetic_pixel_pro": 0.65622, "at_threshold_recall": 1.0, "at_threshold_false_alarm_rate": None}

    assert compared(figures) == {"image_auroc": 0.9877, "synthetic_pixel_pro": 0.6562, "recall": 1.0}
