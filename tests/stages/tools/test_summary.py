"""What a terminal shows at the end."""

import json

import pytest

from stages.paths import CategoryPaths
from stages.tools.summary import lines


def test_figures_come_with_intervals_and_say_what_they_were_measured_on(tmp_path):
    paths = CategoryPaths("elpv", "mono", tmp_path)
    paths.metrics.parent.mkdir(parents=True)
    figures = {"image_auroc": 0.9054, "image_auroc_low": 0.879, "image_auroc_high": 0.9314, "pixel_pro": None}
    figures |= {"synthetic_pixel_pro": 0.6562, "synthetic_pixel_pro_low": 0.6141, "synthetic_pixel_pro_high": 0.697}
    figures |= {"pixel_reason": "no masks", "at_threshold_recall": 0.773, "at_threshold_false_alarm_rate": 0.114}
    paths.metrics.write_text(json.dumps(figures))

    said = list(lines(paths, 0.3))

    assert said[0] == "elpv/mono: 77 % of anomalous test images are found, 11 % of normal ones flagged"
    assert "  Image AUROC               0.905  0.879 to 0.931" in said
    assert "  Pixel PRO                 0.656  0.614 to 0.697  on synthetic defects" in said
    assert "  Pixel AUROC               Cannot be computed: no masks." in said
    assert said[-1] == f"  look at it: {paths.page}"


def test_figures_of_reconstructions_come_with_their_unit_or_with_the_reason(tmp_path):
    paths = CategoryPaths("elpv", "mono", tmp_path)
    paths.metrics.parent.mkdir(parents=True)
    figures = {"reconstruction_psnr_normal": 27.512, "reconstruction_kept_anomaly": 0.184}
    figures |= {"reconstruction_feature_distance": None, "reconstruction_reason": "no weights"}
    paths.metrics.write_text(json.dumps(figures))

    said = [line for line in lines(paths, 0.3) if "Reconstruction" in line]

    assert said == [
        "  Reconstruction: normal pixels         27.5 dB",
        "  Reconstruction: anomaly kept          18 %",
        "  Reconstruction: unlike the original   Cannot be computed: no weights.",
    ]


@pytest.mark.parametrize(
    ("happened", "verdict"),
    [
        (0.044, "4.4 % happened"),
        (0.114, "11.4 % happened, more than chance explains"),
        (0.0, "0.0 % happened, fewer than chance explains"),
    ],
)
def test_false_alarms_that_were_promised_stand_beside_those_that_happened(tmp_path, happened, verdict):
    paths = CategoryPaths("elpv", "mono", tmp_path)
    paths.metrics.parent.mkdir(parents=True)
    figures = {"at_threshold_false_alarm_rate": happened, "test_normal": 158, "calibration_images": 430}
    figures |= {"promised_false_alarm_rate": 0.05, "promised_false_alarm_rate_low": 0.019}
    paths.metrics.write_text(json.dumps(figures | {"promised_false_alarm_rate_high": 0.095}))

    assert list(lines(paths, 0.3))[1] == (
        "  False alarms              5.0 % promised from 430 normal images; "
        f"on 158 test images 1.9 to 9.5 % would be no surprise; {verdict}"
    )


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        (
            {"promised_false_alarm_rate": None, "promised_reason": "it is old"},
            "no rate of false alarms is promised: it is old",
        ),
        (
            {"promised_false_alarm_rate": 0.05, "calibration_images": 9},
            "5.0 % promised from 9 normal images; there is no normal test image to check it on",
        ),
    ],
)
def test_a_promise_that_cannot_be_made_or_checked_says_why(tmp_path, figures, said):
    paths = CategoryPaths("elpv", "mono", tmp_path)
    paths.metrics.parent.mkdir(parents=True)
    paths.metrics.write_text(json.dumps(figures))

    assert list(lines(paths, 0.3))[1] == f"  False alarms              {said}"


def test_what_is_not_evaluated_says_so(tmp_path):
    assert list(lines(CategoryPaths("elpv", "mono", tmp_path), 0.3)) == [
        "elpv/mono: not evaluated yet; run `dvc repro`"
    ]


def test_a_test_set_of_one_kind_has_half_of_the_verdict(tmp_path):
    paths = CategoryPaths("parts", "screw", tmp_path)
    paths.metrics.parent.mkdir(parents=True)
    paths.metrics.write_text(json.dumps({"at_threshold_recall": None, "at_threshold_false_alarm_rate": 0.02}))

    assert next(lines(paths, 0.3)) == "parts/screw: no anomalous test images, 2 % of normal ones flagged"
