"""What a look at the source of the data sees, and what it does when it can see nothing."""

import os
import shutil
from pathlib import Path

import pytest

from stages.command import TemporaryError
from stages.download.watch.look import MEMORY, SWITCH


@pytest.fixture
def folder(nut, tmp_path):
    return Path(shutil.copytree(nut, tmp_path / "source"))


@pytest.mark.parametrize("change", ["new", "edited", "removed", "label"])
def test_a_change_in_a_folder_is_seen(fingerprint, folder, change):
    before, file = fingerprint(folder), folder / "nut" / "train" / "good" / "00.png"
    if change == "new":
        shutil.copy(file, file.with_name("new.png"))
    elif change == "edited":
        file.write_bytes(file.read_bytes()[::-1])
    elif change == "removed":
        file.unlink()
    else:
        (folder / "nut" / "labels.csv").write_text("a.png,1\n")

    assert fingerprint(folder) != before


def test_the_same_files_elsewhere_and_at_another_time_have_the_same_fingerprint(fingerprint, folder, tmp_path):
    before = fingerprint(folder)
    for file in folder.rglob("*.png"):
        os.utime(file, ns=(5, 5))

    assert fingerprint(folder) == before
    assert fingerprint(shutil.copytree(folder, tmp_path / "copy")) == before


def test_an_edit_that_keeps_size_and_time_within_a_tick_is_seen(fingerprint, folder):
    file = folder / "nut" / "labels.csv"
    file.write_text("a.png,0\n")
    status, before = file.stat(), fingerprint(folder)
    file.write_text("a.png,1\n")
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert fingerprint(folder) != before


def test_only_what_looks_changed_is_read_again(fingerprint, folder, monkeypatch):
    for file in folder.rglob("*.png"):
        os.utime(file, ns=(5, 5))
    before, new = fingerprint(folder), folder / "nut" / "new.txt"
    new.write_text("new")
    read = []
    monkeypatch.setattr("stages.download.watch.contents.file_digest", lambda path: read.append(path) or "0")

    assert fingerprint(folder) != before
    assert read == [new]


def test_another_category_of_the_source_is_none_of_its_concern(fingerprint, folder):
    before = fingerprint(folder)
    shutil.copytree(folder / "nut", folder / "bolt")

    assert fingerprint(folder) == before


def test_an_archive_of_the_web_is_asked_for_its_headers_alone(fingerprint, web):
    web.files["mine.zip"] = b"one"
    before = fingerprint(f"{web.url}/mine.zip")
    assert fingerprint(f"{web.url}/mine.zip") == before
    web.files["mine.zip"] = b"two"

    assert fingerprint(f"{web.url}/mine.zip") != before
    assert web.requests == []


def test_a_stated_checksum_needs_no_question(fingerprint, web):
    assert fingerprint(f"{web.url}/mine.zip", sha256="0" * 64) != fingerprint(f"{web.url}/mine.zip", sha256="1" * 64)
    assert web.asked == []


def test_an_object_of_the_same_length_is_another_version(fingerprint, s3):
    s3.put_object(Bucket="factory", Key="mine/nut/a.png", Body=b"one")
    s3.put_object(Bucket="factory", Key="mine-of-others/a.png", Body=b"one")
    before = fingerprint("s3://factory/mine")
    assert before.files == 1

    s3.put_object(Bucket="factory", Key="mine/nut/a.png", Body=b"two")

    assert fingerprint("s3://factory/mine") != before


def test_a_package_is_known_by_its_release(fingerprint):
    assert fingerprint("package:elpv-dataset").files == 1


def test_the_first_place_with_the_data_counts(fingerprint, folder, web):
    assert fingerprint(f"{web.url}/gone.zip", folder) == fingerprint(folder)
    assert fingerprint("http://127.0.0.1:9/mine.zip", folder) == fingerprint(folder)


def test_a_server_that_does_not_answer_is_not_passed_over_where_something_is_known(fingerprint, folder):
    with pytest.raises(TemporaryError, match=r"http://127.0.0.1:9/mine.zip: no answer"):
        fingerprint("http://127.0.0.1:9/mine.zip", folder, is_known=True)


def test_when_nothing_is_anywhere_each_place_tells_why(fingerprint, web, tmp_path):
    (tmp_path / "empty").mkdir()

    with pytest.raises(ValueError, match="nothing is there") as refusal:
        fingerprint(tmp_path / "empty", f"{web.url}/gone.zip", "package:no-such-thing")

    assert str(refusal.value).splitlines() == [
        f"{tmp_path / 'empty'}: nothing is there",
        f"{web.url}/gone.zip: the server answered 404 Not Found",
        "package:no-such-thing: not installed; run `.venv/bin/pip install no-such-thing`",
    ]


@pytest.mark.parametrize("trouble", ["silent", 404, 503])
def test_a_source_that_cannot_be_asked_counts_as_unchanged_and_a_line_says_so(refreshed, web, caplog, trouble):
    web.files["mine.zip"] = b"one"
    before = refreshed(f"{web.url}/mine.zip")
    web.statuses["mine.zip"] = trouble

    assert refreshed(f"{web.url}/mine.zip") == before
    assert f"mine/nut: the source cannot be looked at, and counts as unchanged: {web.url}/mine.zip" in caplog.text
    web.statuses.clear()
    web.files["mine.zip"] = b"two"
    assert refreshed(f"{web.url}/mine.zip") != before


def test_a_mirror_that_is_not_named_this_time_is_not_replaced_by_a_source(refreshed, folder, tmp_path, caplog):
    mirror = tmp_path / "mirror"
    shutil.copytree(folder, mirror / "mine")
    (mirror / "mine" / "nut" / "more.txt").write_text("more")
    before = refreshed(folder, mirror=str(mirror))

    assert refreshed(folder) == before
    assert f"the data came from {mirror}/mine, which is not there; to take {folder} instead, delete" in caplog.text
    (MEMORY / "mine.nut.json").unlink()
    assert refreshed(folder) != before


def test_a_mirror_that_is_named_now_comes_before_the_source_of_the_last_look(refreshed, folder, tmp_path):
    before = refreshed(folder)
    shutil.copytree(folder, tmp_path / "mirror" / "mine")
    (tmp_path / "mirror" / "mine" / "nut" / "more.txt").write_text("more")

    assert refreshed(folder, mirror=str(tmp_path / "mirror")) != before


def test_the_first_look_at_nothing_fails_and_says_the_way_out(refreshed, tmp_path):
    with pytest.raises(ValueError, match="nothing is there\nname a mirror with DATA_MIRROR"):
        refreshed(tmp_path / "none")


def test_the_switch_keeps_what_is_known(refreshed, folder, monkeypatch):
    before = refreshed(folder)
    (folder / "nut" / "new.txt").write_text("new")
    monkeypatch.setenv(SWITCH, "no")
    assert refreshed(folder) == before

    monkeypatch.delenv(SWITCH)
    assert refreshed(folder) != before
