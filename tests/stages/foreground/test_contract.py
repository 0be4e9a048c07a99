import json

import pytest

from diffusionad.foreground.methods import ForegroundConfig
from stages.contracts.verdict import write_verdict
from stages.foreground.contract import check_contract, rules

# The two settings that the contract reads.
CONFIG = ForegroundConfig.model_construct(area=(0.02, 0.98), max_area_change=0.5)
LIKE = {"a.png": 0.30, "b.png": 0.31, "c.png": 0.29}


def violated(areas):
    return {finding.title: finding.rows for finding in check_contract(CONFIG, areas) if finding.violated}


def test_masks_that_are_alike_keep_every_rule():
    findings = check_contract(CONFIG, LIKE)

    assert [finding.title for finding in findings] == [rule.title for rule in rules(CONFIG)]
    assert [(finding.checked, finding.violated) for finding in findings] == [(3, 0)] * 4


@pytest.mark.parametrize(
    ("area", "title", "told"),
    [
        (0.0, "an object on the photograph", "nothing; the whole image is taken"),
        (1.0, "an object smaller than the photograph", "the whole image"),
        (0.01, "an object that covers 2% to 98% of the photograph", "1.0%; the whole image is taken"),
        (0.99, "an object that covers 2% to 98% of the photograph", "99.0%; the whole image is taken"),
        (0.1, "an area within 50% of the median", "10.0% of the image, where the median is 29.5%"),
        (0.5, "an area within 50% of the median", "50.0% of the image, where the median is 30.5%"),
    ],
)
def test_an_odd_mask_is_named_by_one_rule_alone(area, title, told):
    assert violated({**LIKE, "d.png": area}) == {title: (("d.png", told),)}


def test_masks_that_are_not_credible_move_no_median():
    assert len(violated({**LIKE, **{f"{i}.png": 0.0 for i in range(9)}})) == 1


def test_where_images_are_taken_whole_by_choice_nothing_is_checked():
    assert [(finding.checked, finding.violated) for finding in check_contract(CONFIG, {})] == [(0, 0)] * 4


def test_an_odd_mask_is_a_warning_in_the_file_and_on_the_page(tmp_path):
    findings = check_contract(CONFIG, {**LIKE, "odd<1>.png": 0.6})
    summary = {"images": 4, "method": "threshold", "reason": "as params.yaml says"}

    write_verdict("toys/discs, foreground", findings, summary, file=tmp_path / "v.json", page=tmp_path / "v.html")

    content, page = json.loads((tmp_path / "v.json").read_text()), (tmp_path / "v.html").read_text()
    assert (content["accepted"], content["failed"], content["warned"]) == (True, 0, 1)
    assert "odd&lt;1&gt;.png" in page
    assert "4 normal images, by threshold: as params.yaml says." in page
    assert "Licence" not in page
