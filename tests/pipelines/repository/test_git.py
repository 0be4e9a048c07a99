"""What git answers, and what is said when it cannot."""

import pytest

from pipelines.repository.git import git


def test_the_output_comes_without_the_last_line_break(tmp_path):
    git(tmp_path, "init", "--quiet", "--initial-branch", "main")

    assert git(tmp_path, "symbolic-ref", "--short", "HEAD") == "main"


def test_a_command_that_fails_is_named_with_its_reason(tmp_path):
    with pytest.raises(ValueError, match=rf"{tmp_path}: `git nonsense` failed: .*not a git command"):
        git(tmp_path, "nonsense")


def test_a_machine_without_git_is_told_in_a_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(ValueError, match=r"`git status` cannot be run: .*No such file"):
        git(tmp_path, "status")
