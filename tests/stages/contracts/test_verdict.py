import json
import re

from stages.contracts.rules import Finding
from stages.contracts.verdict import MAX_LINES, finding_lines, verdict, write_verdict

SUMMARY = {
    "images": 3,
    "decoded": 3,
    "train_normal": 2,
    "licence": "CC0",
    "non_commercial": True,
    "left_out": {"uncertain": 4},
}


def finding(violated=0, severity="critical", rows=()):
    return Finding("no image in two splits", "images", "expect_x", severity, 3, violated, rows)


BROKEN = finding(1, rows=(("a<b>.png", "c.png in <test>"),))
WARNED = finding(30, "warning", tuple((f"{i}.png", i) for i in range(30)))


def test_a_line_has_the_path_the_expectation_and_the_value():
    assert finding_lines([finding(), BROKEN, WARNED], "failed") == [
        "a<b>.png: expected no image in two splits; got c.png in <test>"
    ]


def test_many_rows_of_one_kind_do_not_hide_another():
    told = finding_lines([WARNED, WARNED], "warned")

    assert len(told) == 2 * (MAX_LINES + 1)
    assert told[MAX_LINES] == "... and 20 more, where expected was no image in two splits"


def test_a_finding_is_kept_warned_or_broken():
    assert [verdict(f) for f in (finding(), WARNED, BROKEN)] == ["passed", "warned", "failed"]


def test_the_file_says_all_and_the_same_each_time(tmp_path):
    for name in "12":
        write_verdict("mine/nut", [BROKEN, WARNED], SUMMARY, file=tmp_path / f"{name}.json", page=tmp_path / name)

    content = json.loads((tmp_path / "1.json").read_text())

    assert (content["accepted"], content["failed"], content["warned"]) == (False, 1, 1)
    assert content["findings"][0]["rows"] == [{"path": "a<b>.png", "value": "c.png in <test>"}]
    assert (tmp_path / "1.json").read_bytes() == (tmp_path / "2.json").read_bytes()
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_the_page_needs_nothing_but_itself_and_takes_no_orders_from_file_names(tmp_path):
    write_verdict("mine/nut", [BROKEN], SUMMARY, file=tmp_path / "v.json", page=tmp_path / "v.html")

    page = (tmp_path / "v.html").read_text()

    assert not re.search(r"https?://|<script|<link|<img|url\(|@import", page)
    assert "a&lt;b&gt;.png" in page
    assert "a<b>" not in page
    assert "refused" in page
    assert "4: uncertain" in page


def test_the_page_of_good_data_says_so(tmp_path):
    write_verdict("mine/nut", [finding(), WARNED], SUMMARY, file=tmp_path / "v.json", page=tmp_path / "v.html")

    assert "mine/nut: accepted" in (tmp_path / "v.html").read_text()
