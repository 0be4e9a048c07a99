from pathlib import Path

import pytest

from pipelines.catalogue import Entry
from pipelines.promotion.gates import LINEAGE
from pipelines.tracking import lineage
from stages.paths import CategoryPaths


def test_a_committed_repository_has_a_whole_and_clean_lineage(entry):
    facts = lineage.collect(entry)

    assert [key for key in LINEAGE if not facts[key]] == []
    assert facts["git.dirty"] == "false"
    assert facts["dvc_status"] == lineage.CURRENT
    assert (facts["licence"], facts["non_commercial"]) == ("CC0", "false")


@pytest.mark.parametrize("file", ["params.yaml", "a_new_file"])
def test_an_edited_or_a_new_file_makes_the_tree_dirty(entry, file):
    with Path(file).open("a") as stream:
        stream.write("\n# edited\n")

    assert lineage.collect(entry)["git.dirty"] == "true"


@pytest.mark.parametrize("file", ["params.yaml", "params/detectors/diffusionad.yaml"])
def test_settings_change_their_digest(entry, file):
    before = lineage.collect(entry)

    with Path(file).open("a") as stream:
        stream.write("# edited\n")

    after = lineage.collect(entry)
    assert {key for key in before if before[key] != after[key]} == {"params", "git.dirty"}


def test_a_new_or_another_lock_is_a_result_and_leaves_the_tree_clean(entry, workshop):
    new = lineage.collect(entry)
    workshop.commit()
    with Path("dvc.lock").open("a") as stream:
        stream.write("# written again\n")

    changed = lineage.collect(entry)

    assert new["git.dirty"] == changed["git.dirty"] == "false"
    assert new["dvc_lock"] != changed["dvc_lock"]


def test_a_result_that_is_not_that_of_the_lock_is_told_by_its_stages(entry, workshop):
    workshop.write_model(entry.paths.model, seed=1)

    facts = lineage.collect(entry)

    assert facts["dvc_status"] == "evaluate@toy-disc, train@toy-disc"
    assert not lineage.is_clean(facts)
    assert lineage.is_clean(facts | {"dvc_status": lineage.CURRENT})


def test_what_cannot_be_had_is_empty_not_invented(entry, tmp_path, monkeypatch):
    manifest = entry.paths.manifest.absolute()
    monkeypatch.chdir(tmp_path)
    entry.paths.manifest.parent.mkdir(parents=True)
    entry.paths.manifest.write_bytes(manifest.read_bytes())

    facts = lineage.collect(entry)

    unknown = {"git.commit", "git.dirty", "dvc_status", "dvc_lock", "params"}
    assert {key for key in LINEAGE if not facts[key]} == unknown


def test_without_data_there_is_no_lineage(repository):
    with pytest.raises(ValueError, match="no such manifest"):
        lineage.collect(Entry("toy-other", CategoryPaths("toy", "other")))
