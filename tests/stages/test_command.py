import errno
import os
import sys
from pathlib import Path

import pytest

from stages import command


@pytest.fixture(autouse=True)
def at_a_root_with_one_category(tmp_path, monkeypatch):
    (tmp_path / "params.yaml").write_text("categories:\n  cells:\n    dataset: elpv\n    category: mono\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["stage", "cells"])


def raising(error):
    def stage(key, paths):
        raise error

    return stage


def test_a_stage_is_called_with_its_key_and_its_files():
    called = []

    command.run(lambda key, paths: called.append((key, paths.model.as_posix())))

    assert called == [("cells", "models/elpv/mono")]


@pytest.mark.parametrize("argv", [["stage"], ["stage", "cells", "tiles"]])
def test_anything_but_one_key_is_answered_with_the_usage(monkeypatch, argv):
    monkeypatch.setattr(sys, "argv", argv)

    with pytest.raises(SystemExit, match=r"usage: python -m .* KEY, where KEY is an entry of `categories`"):
        command.run(raising(AssertionError))


def test_an_unknown_detector_is_refused_by_the_first_stage_with_the_known_ones():
    settings = "categories:\n  cells:\n    dataset: elpv\n    category: mono\n    detector: patchcor\n"
    Path("params.yaml").write_text(settings)

    with pytest.raises(SystemExit, match=r"\Aerror: there is no detector `patchcor`; expected one of .*patchcore"):
        command.run(raising(AssertionError))


def test_an_unknown_key_is_refused_before_the_stage_starts(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["stage", "bottle"])

    with pytest.raises(SystemExit, match=r"error: params.yaml: no `bottle` in `categories`; it holds cells\Z"):
        command.run(raising(AssertionError))


def test_what_another_attempt_may_mend_is_one_line_and_status_75(capsys):
    with pytest.raises(SystemExit) as caught:
        command.run(raising(command.TemporaryError("a.zip: no answer (timed out), 2 times")))

    assert caught.value.code == os.EX_TEMPFAIL
    assert capsys.readouterr().err == "error: a.zip: no answer (timed out), 2 times\n"


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ValueError("photo.png: the file is empty"), r"error: photo.png: the file is empty\Z"),
        (FloatingPointError("step 3: the loss is not finite"), "error: step 3: the loss is not finite"),
        (OSError(errno.ENOSPC, "No space left on device", "data/x"), r"error: the disk is full \(data/x\); free some"),
        (OSError(errno.ENOSPC, "No space left on device"), "error: the disk is full; free some"),
        (PermissionError(errno.EACCES, "Permission denied", "data/x"), "error: .*Permission denied: 'data/x'"),
    ],
)
def test_what_a_user_can_cause_is_one_line_and_status_one(error, text):
    with pytest.raises(SystemExit, match=text) as caught:
        command.run(raising(error))

    assert "\n" not in str(caught.value.code)


def test_a_fault_of_ours_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        command.run(raising(ZeroDivisionError()))
