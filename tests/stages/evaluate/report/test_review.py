import json
import re

import numpy as np
import pandas as pd
import pytest

from diffusionad.evaluation.bootstrap import PairedDifference
from diffusionad.evaluation.curves import Curve, score_histogram
from stages.evaluate.report.figures_in_words import speak
from stages.evaluate.report.page import write_page
from stages.evaluate.report.review import Answer, Comparison, Review, to_values

LABELS = np.asarray([0, 0, 1, 1, 1])
BEFORE = np.asarray([0.1, 0.6, 0.4, 0.7, 0.2])
AFTER = np.asarray([0.6, 0.1, 0.9, 0.7, 0.2])
POINTS = Curve(np.asarray([0.0, 1.0]), np.asarray([0.0, 1.0]))


def answer(title, scores, figures=None):
    curves = dict.fromkeys(("roc", "pr", "pro"), POINTS)
    histogram = score_histogram(LABELS, scores, 4)
    return Answer(title, 0.5, scores, figures or {}, curves, histogram, {"weights": title}, reconstructs=True)


@pytest.fixture
def review():
    images = pd.DataFrame({"path": [f"{i}.png" for i in range(5)], "label": LABELS, "outline": False})
    images = images.assign(width=4, height=2, defect=["good", "good", "hole", "bent", "hole"])
    return Review("a", "b", images, [answer("new", AFTER)], 0.3, None, None, ())


def test_counts_are_those_of_the_threshold(review):
    model = to_values(review, "report")["models"][0]

    assert model["counts"] == {"found": 2, "missed": 1, "alarm": 1, "passed": 1}


def test_defects_come_before_normal_images_and_count_what_is_flagged(review):
    rows = to_values(review, "report")["defects"]

    assert [(row["defect"], row["images"], row["cells"][0]["flagged"]) for row in rows] == [
        ("bent", 1, 1),
        ("hole", 2, 1),
        ("good", 2, 1),
    ]


def test_normal_and_anomalous_images_without_a_name_of_their_defect_stay_apart(review):
    unnamed = to_values(review._replace(images=review.images.assign(defect="")), "report")

    assert [(row["label"], row["images"]) for row in unnamed["defects"]] == [(1, 3), (0, 2)]
    assert [image["defect"] for image in unnamed["content"]["images"]] == [1, 1, 0, 0, 0]


def test_a_comparison_counts_each_image_once_and_calls_only_a_clear_difference_better(review):
    figures = {"image_auroc": 0.8, "image_ap": 0.7, "image_f1": 0.5}
    answers = [answer("old", BEFORE, figures), answer("new", AFTER, figures | {"image_auroc": 0.9})]
    differences = {"image_auroc": PairedDifference(0.01, 0.2, 0.99), "image_ap": PairedDifference(-0.1, 0.1, 0.5)}

    compared = to_values(review._replace(answers=answers, comparison=Comparison(9, differences)), "report")

    assert {change["title"]: change["count"] for change in compared["comparison"]["changes"]} == {
        "now right": 2,
        "now wrong": 1,
        "wrong in both": 1,
        "right in both": 1,
    }
    verdicts = {row["title"]: row["verdict"] for row in compared["comparison"]["rows"]}
    assert verdicts == {
        "Image AUROC": "better",
        "Image average precision": "no clear difference",
        "Best image F1": "not tested",
    }
    assert compared["lineage"] == [{"name": "weights", "found": ["old", "new"], "differs": True}]


def test_a_figure_without_a_value_tells_why_and_a_synthetic_one_is_marked():
    figures = {"image_auroc": None, "image_reason": "only normal images", "pixel_pro": None, "synthetic_pixel_pro": 0.6}

    spoken = {figure.title: figure for figure in speak(figures, 0.3)}

    assert spoken["Image AUROC"].meaning == "Cannot be computed: only normal images."
    assert spoken["Pixel PRO"].synthetic
    assert (spoken["Pixel PRO"].value, spoken["Pixel PRO"].name) == (0.6, "synthetic_pixel_pro")
    assert "30 % of normal pixels" in spoken["Pixel PRO"].meaning


@pytest.mark.parametrize("reconstructs", [True, False])
def test_only_reconstructions_that_were_made_can_be_chosen(review, tmp_path, reconstructs):
    answers = [one._replace(reconstructs=reconstructs) for one in review.answers]

    write_page(tmp_path / "index.html", "report", review._replace(answers=answers))

    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert '<option value="map">' in text
    assert ('<option value="reconstruction">' in text) == reconstructs


def test_the_page_of_an_ensemble_has_a_table_of_its_members_and_others_have_none(review, tmp_path):
    members = {"member_a_weight": 0.25, "member_a_image_auroc": 0.875, "member_a_pixel_pro": None}
    for file, figures in (("with.html", members), ("without.html", {})):
        answers = [one._replace(figures={"image_auroc": 0.9} | figures) for one in review.answers]
        write_page(tmp_path / file, "report", review._replace(answers=answers))

    row = (
        (tmp_path / "with.html").read_text(encoding="utf-8").split('<th scope="row">a alone</th>')[1].split("</tr>")[0]
    )
    assert re.findall("<td[^>]*>(.*?)</td>", row) == ["0.25", "0.875", "–", "–"]  # noqa: RUF001  # as the page writes it
    assert "What each member is worth" not in (tmp_path / "without.html").read_text(encoding="utf-8")


def test_the_page_tells_how_good_reconstructions_are_where_some_are_made(review, tmp_path):
    made = {"reconstruction_psnr_normal": 27.512, "reconstruction_kept_anomaly": 0.184}
    with_figures = review._replace(answers=[answer("new", AFTER, made)])

    for file, each in (("without.html", review), ("with.html", with_figures)):
        write_page(tmp_path / file, "report", each)

    assert "Anomaly kept" not in (tmp_path / "without.html").read_text(encoding="utf-8")
    text = (tmp_path / "with.html").read_text(encoding="utf-8")
    assert "27.5 dB" in text
    assert "18 %" in text


def test_names_from_the_data_never_become_markup(review, tmp_path):
    name = '</script><img src="x">&\u2028.png'
    evil = review._replace(title=name, images=review.images.assign(path=name, defect=name))

    write_page(tmp_path / "index.html", "report", evil)

    text = (tmp_path / "index.html").read_text(encoding="utf-8")
    assert '<img src="x">' not in text
    block = text.split('<script type="application/json" id="content">')[1].split("</script>")[0]
    assert json.loads(block)["images"][0]["name"] == name


def test_the_same_review_gives_the_same_bytes(review, tmp_path):
    for file in ("a.html", "b.html"):
        write_page(tmp_path / file, "report", review)

    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
