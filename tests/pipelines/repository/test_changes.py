"""What a retraining notices of its source and of its checkout."""

import os
from pathlib import Path

import pytest

from pipelines.catalogue import find_categories
from pipelines.errors import TransientError
from pipelines.repository.changes import current_state, read_state, write_state
from toys.datasets import describe_dataset
from toys.params import set_values

FETCH = {"timeout_s": 0.5, "attempts": 1, "wait_s": 0, "max_unpacked_mib": 1, "max_files": 9}


@pytest.fixture
def source(repository, tmp_path, workshop, monkeypatch):
    """A folder with two photographs, as the only source of `toy`; the repository has code to be committed."""
    monkeypatch.delenv("DATA_MIRROR", raising=False)
    folder = tmp_path / "source"
    (folder / "disc" / "train").mkdir(parents=True)
    for name in ("a", "b"):
        (folder / "disc" / "train" / f"{name}.png").write_bytes(name.encode())
    set_values(
        Path("params.yaml"),
        download={"mirror": None, "fetch": FETCH},
        datasets={"toy": describe_dataset("toy", folder)},
    )
    for name in ("diffusionad/detector.py", "stages/train/stage.py", "dvc.yaml"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Path(name).write_text("1\n")
    workshop.commit()
    return folder


@pytest.fixture
def seen(source):
    return lambda: current_state(find_categories("toy", "disc")[0], Path.cwd())


def test_nothing_changed_is_seen_as_nothing(seen):
    assert seen().differs(seen()) == ()
    assert seen().differs(None) == ("first retraining",)


@pytest.mark.parametrize("change", ["new", "edited", "removed", "label"])
def test_a_change_at_the_source_is_seen(seen, source, change):
    before, file = seen(), source / "disc" / "train" / "a.png"
    if change == "new":
        file.with_name("c.png").write_bytes(b"c")
    elif change == "edited":
        file.write_bytes(b"x")
        os.utime(file, ns=(0, 5))
    elif change == "removed":
        file.unlink()
    else:
        (source / "disc" / "labels.csv").write_text("a.png,1\n")

    assert seen().differs(before) == ("data",)


def test_another_category_of_the_source_is_none_of_its_concern(seen, source):
    before = seen()
    (source / "square").mkdir()
    (source / "square" / "a.png").write_bytes(b"a")

    assert seen().differs(before) == ()


@pytest.mark.parametrize(
    "file",
    [
        "diffusionad/detector.py",
        "stages/train/stage.py",
        "dvc.yaml",
        "params.yaml",
        "params/detectors/diffusionad.yaml",
    ],
)
def test_committed_code_and_settings_are_seen_and_uncommitted_ones_are_not(seen, workshop, file):
    before = seen()
    Path(file).write_text(Path(file).read_text() + "# more\n")
    assert seen().differs(before) == ()

    workshop.commit()

    assert seen().differs(before) == ("code or settings",)


def test_a_document_is_no_reason_to_train(seen, workshop):
    before = seen()
    Path("README.md").write_text("hello\n")
    workshop.commit()

    assert seen().differs(before) == ()


def test_what_was_seen_is_kept(seen):
    assert read_state("toy-disc", Path.cwd()) is None
    state = seen()._replace(stages={"train@toy-disc": {"cmd": "x"}})

    write_state("toy-disc", state, Path.cwd())

    assert read_state("toy-disc", Path.cwd()) == state


def test_a_source_that_is_not_there_is_named(seen, source):
    source.rename(source.with_name("elsewhere"))

    with pytest.raises(ValueError, match=r"/source: nothing is there"):
        seen()


def test_a_server_that_does_not_answer_may_do_so_later(seen, workshop):
    set_values(Path("params.yaml"), datasets={"toy": describe_dataset("toy", "http://127.0.0.1:9/cells.zip")})
    workshop.commit()

    with pytest.raises(TransientError, match=r"http://127.0.0.1:9/cells.zip: no answer"):
        seen()
