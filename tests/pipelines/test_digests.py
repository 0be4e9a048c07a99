import pytest

from pipelines.digests import file_digest, folder_digest


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "weights").write_text("1")
    (tmp_path / "notes").write_text("2")
    return tmp_path


def change_content(folder):
    (folder / "notes").write_text("3")


def rename(folder):
    (folder / "notes").rename(folder / "remarks")


def move(folder):
    (folder / "model" / "weights").rename(folder / "weights")


def add(folder):
    (folder / "more").write_text("")


@pytest.mark.parametrize("change", [change_content, rename, move, add])
def test_a_digest_changes_with_names_places_and_contents(folder, change):
    before = folder_digest(folder)

    change(folder)

    assert folder_digest(folder) != before


def test_compiled_python_and_what_is_left_out_do_not_count(folder):
    before = folder_digest(folder)

    (folder / "__pycache__").mkdir()
    (folder / "__pycache__" / "a.pyc").write_text("")
    (folder / "meta").write_text("")

    assert folder_digest(folder, leave_out=("meta",)) == before


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match="no files here"):
        folder_digest(tmp_path)


def test_a_file_that_is_not_there_has_no_digest(tmp_path):
    assert file_digest(tmp_path / "none") == ""
