import json
import os
import stat
from pathlib import Path

import pytest

from stages.files import atomic_file, atomic_folder, write_json


class Stopped(Exception):  # noqa: N818  # no error: somebody pulled the plug
    """What ends a block in the middle."""


def fill(writer, path, text, *, stop=False):
    """Write a text through `writer`, into a file or into a file of a folder."""
    with writer(path) as draft:
        (draft / "inside.txt" if draft.is_dir() else draft).write_text(text)
        if stop:
            raise Stopped


def content(path):
    return (path / "inside.txt" if path.is_dir() else path).read_text()


@pytest.fixture(params=[atomic_file, atomic_folder])
def writer(request):
    return request.param


def test_what_was_written_stands_there_when_the_block_ends(writer, tmp_path):
    fill(writer, tmp_path / "deep" / "out", "new")

    assert content(tmp_path / "deep" / "out") == "new"


def test_the_old_is_replaced_whole(tmp_path):
    out = tmp_path / "out"
    fill(atomic_folder, out, "old")
    (out / "left over").touch()

    fill(atomic_folder, out, "new")

    assert [file.name for file in out.iterdir()] == ["inside.txt"]
    assert content(out) == "new"


def test_the_old_stays_where_the_block_fails(writer, tmp_path):
    fill(writer, tmp_path / "out", "old")

    with pytest.raises(Stopped):
        fill(writer, tmp_path / "out", "new", stop=True)

    assert content(tmp_path / "out") == "old"


def test_the_old_stands_there_until_the_block_ends(writer, tmp_path):
    fill(writer, tmp_path / "out", "old")

    with writer(tmp_path / "out"):
        assert content(tmp_path / "out") == "old"


@pytest.mark.parametrize("stop", [False, True])
def test_no_draft_is_left_behind(writer, tmp_path, stop):
    fill(writer, tmp_path / "out", "old")

    try:
        fill(writer, tmp_path / "out", "new", stop=stop)
    except Stopped:
        assert stop

    assert [file.name for file in tmp_path.iterdir()] == ["out"]


def test_a_folder_that_cannot_be_put_in_place_leaves_the_old_there(tmp_path, monkeypatch):
    out, replace = tmp_path / "out", Path.replace
    fill(atomic_folder, out, "old")

    def refuses_the_draft(path, target):
        if target == out and (path / "inside.txt").read_text() == "new":
            raise PermissionError
        return replace(path, target)

    monkeypatch.setattr(Path, "replace", refuses_the_draft)
    with pytest.raises(PermissionError):
        fill(atomic_folder, out, "new")

    assert content(out) == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize(("writer", "mode"), [(atomic_file, 0o644), (atomic_folder, 0o755)])
def test_others_may_read_what_was_written(writer, mode, tmp_path):
    before = os.umask(0o022)
    try:
        fill(writer, tmp_path / "out", "new")
    finally:
        os.umask(before)

    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == mode


def test_json_comes_back_in_its_order(tmp_path):
    given = {"b": 1.5, "a": ["ü", None]}

    write_json(tmp_path / "out.json", given)

    text = (tmp_path / "out.json").read_text(encoding="utf-8")
    assert json.loads(text) == given
    assert text.index('"b"') < text.index('"a"')
    assert text.endswith("}\n")


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_json_that_no_reader_knows_is_refused_and_the_old_stays(tmp_path, number):
    out = tmp_path / "out.json"
    write_json(out, {"auroc": 0.9})

    with pytest.raises(ValueError, match=r"out\.json: not written: .*; write null where there is no number"):
        write_json(out, {"auroc": number})

    assert json.loads(out.read_text()) == {"auroc": 0.9}
