from pathlib import Path

import pytest

from pipelines import lineage
from pipelines.gates import LINEAGE
from stages.paths import CategoryPaths


def test_a_committed_repository_has_a_whole_and_clean_lineage(entry):
    facts = lineage.collect(entry.paths)

    assert [key for key in LINEAGE if not facts[key]] == []
    assert facts["git.dirty"] == "false"
    assert facts["licence"] == "CC0"


@pytest.mark.parametrize("file", ["params.yaml", "a_new_file"])
def test_an_edited_or_a_new_file_makes_the_tree_dirty(entry, file):
    with Path(file).open("a") as stream:
        stream.write("\n# edited\n")

    assert lineage.collect(entry.paths)["git.dirty"] == "true"


def test_settings_and_lock_change_their_digests(entry):
    before = lineage.collect(entry.paths)

    for file in ("params.yaml", "dvc.lock"):
        Path(file).write_text("# another\n")

    after = lineage.collect(entry.paths)
    assert {key for key in before if before[key] != after[key]} == {"params", "dvc_lock", "git.dirty"}


def test_what_cannot_be_had_is_empty_not_invented(entry, tmp_path, monkeypatch):
    manifest = entry.paths.manifest.absolute()
    monkeypatch.chdir(tmp_path)
    entry.paths.manifest.parent.mkdir(parents=True)
    entry.paths.manifest.write_bytes(manifest.read_bytes())

    facts = lineage.collect(entry.paths)

    assert {key for key in LINEAGE if not facts[key]} == {"git.commit", "git.dirty", "dvc_lock", "params"}


def test_without_data_there_is_no_lineage(repository):
    with pytest.raises(ValueError, match="no such manifest"):
        lineage.collect(CategoryPaths("toy", "other"))
