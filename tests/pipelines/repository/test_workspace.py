"""Worktrees of a small repository, with real git and DVC."""

import subprocess
import sys
from pathlib import Path

import pytest

from pipelines.repository.changes import locked_stages
from pipelines.repository.git import git
from pipelines.repository.workspace import carry_over, commit_lock, workspace

PIPELINE = """\
stages:
  train:
    foreach: [a, b]
    do:
      cmd: mkdir -p models && cp word models/${item}
      deps: [word]
      outs: ["models/${item}"]
"""


def dvc(folder, *arguments):
    subprocess.run([sys.executable, "-m", "dvc", *arguments], cwd=folder, check=True, stdout=subprocess.DEVNULL)


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A repository whose stages have run; dvc.lock is not committed."""
    for who in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{who}_NAME", "a test")
        monkeypatch.setenv(f"GIT_{who}_EMAIL", "test@example.org")
    monkeypatch.setenv("DVC_NO_ANALYTICS", "1")
    folder = tmp_path / "checkout"
    folder.mkdir()
    for name, text in {"dvc.yaml": PIPELINE, "word": "one", ".gitignore": "/.local/\n/models/\n"}.items():
        (folder / name).write_text(text)
    git(folder, "init", "--quiet", "--initial-branch", "main")
    dvc(folder, "init", "-q")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "the beginning")
    dvc(folder, "repro", "-q")
    return folder


def test_a_worktree_starts_from_the_commit_and_takes_outs_from_the_shared_cache(checkout):
    (checkout / "word").write_text("not committed")

    with workspace("one", checkout) as folder:
        carry_over(locked_stages("a", checkout), folder)

        assert (folder / "word").read_text() == "one"
        assert (folder / "models" / "a").read_text() == "one"
        assert not (folder / "models" / "b").exists()
        # What stands in .local belongs to both.
        (folder / ".local" / "training" / "state").touch()
        assert (checkout / ".local" / "training" / "state").exists()
        assert git(folder, "status", "--porcelain", "--", ":(exclude)dvc.lock") == ""

    assert not folder.exists()
    assert git(checkout, "worktree", "list").count("\n") == 0


def test_a_worktree_that_failed_stays_for_a_look_and_the_next_one_starts_anew(checkout):
    def fail():
        with workspace("one", checkout) as folder:
            (folder / "word").write_text("half")
            raise ValueError(folder)

    with pytest.raises(ValueError, match="one") as caught:
        fail()
    left = Path(str(caught.value))

    assert (left / "word").read_text() == "half"
    with workspace("one", checkout) as folder:
        assert folder == left
        assert (folder / "word").read_text() == "one"


def test_a_lock_is_committed_on_a_branch_and_the_checkout_does_not_move(checkout):
    head = git(checkout, "rev-parse", "HEAD")

    with workspace("one", checkout) as folder:
        carry_over(locked_stages("a", checkout), folder)
        commit = commit_lock("retraining/a/now", "Retrain a", folder)

    assert git(checkout, "rev-parse", "HEAD", "main", "retraining/a/now").split() == [head, head, commit]
    assert "train@a" in git(checkout, "show", f"{commit}:dvc.lock")
    assert git(checkout, "show", "--name-only", "--format=", commit) == "dvc.lock"


def test_a_folder_without_a_commit_is_refused_in_one_line(tmp_path):
    git(tmp_path, "init", "--quiet")

    with pytest.raises(ValueError, match=r"\A[^\n]*`git worktree add [^\n]*\Z"), workspace("one", tmp_path):
        pass
