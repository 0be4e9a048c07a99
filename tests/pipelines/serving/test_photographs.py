"""Files, folders, lists and patterns name the same photographs in whatever way they are written."""

import pytest

from pipelines.serving.photographs import COLUMNS, EARLIER, find_photographs
from stages.common.folders import LEFT_BEHIND

NAMES = ("line-1/a.png", "line-1/deep/b.jpg", "line-2/c [1].bmp")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name in NAMES:
        file = tmp_path / "photographs" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"a photograph")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "photographs"


def write_outputs(out):
    for name in ("heat/line-1/a.png.png", "overlay/line-1/a.png.png"):
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(b"a picture")
    (out / "predictions.csv").write_text(",".join(COLUMNS) + "\n")


def names(*sources, out="out"):
    return tuple(find_photographs([str(source) for source in sources], out).files)


def test_folder_files_pattern_and_lists_name_the_same_photographs(folder, tmp_path):
    (tmp_path / "here.txt").write_text("\ufeff# of today\n\nphotographs/line-1\r\n  photographs/line-2/c [1].bmp \n")
    (folder / "beside.lst").write_text("line-1/a.png\nline-1/deep/b.jpg\nline-2/c [1].bmp\n")
    listed = names("photographs/beside.lst")
    (folder / "beside.lst").unlink()

    assert names(folder) == names("photographs") == NAMES
    assert names(*(folder / name for name in NAMES)) == names("photographs/line-*/**/*.*") == NAMES
    assert names("here.txt") == listed == NAMES
    assert names(folder, *(folder / name for name in NAMES), "photographs/**") == NAMES


def test_a_name_is_relative_to_the_folder_that_holds_all(folder):
    assert names("photographs/line-2/c [1].bmp") == ("c [1].bmp",)
    assert names("photographs/line-1/deep", "photographs/line-1/a.png") == ("a.png", "deep/b.jpg")


def test_the_pictures_and_the_table_of_predictions_are_never_scored(folder):
    write_outputs(folder / "out")
    write_outputs(folder / "line-1" / "yesterday")
    (folder / "today" / "overlay").mkdir(parents=True)
    (folder / "today" / "overlay" / "of a run that was killed.png").write_bytes(b"a picture")

    for source in ("photographs", "photographs/**"):
        found = find_photographs([source], folder / "today")
        assert tuple(found.files) == NAMES
        assert found.passed_over == {EARLIER: 7}
    for source in ("out/heat", "out/overlay/line-1/a.png.png", "out/predictions.csv"):
        with pytest.raises(ValueError, match="no photographs here, 1 written by a prediction"):
            names(folder / source)


def test_a_folder_of_photographs_may_have_the_name_of_an_output(folder):
    (folder / "heat").mkdir()
    (folder / "heat" / "d.png").write_bytes(b"a photograph")
    (folder / "predictions.csv").write_text("photograph,verdict\n")

    assert names("photographs") == ("heat/d.png", *NAMES, "predictions.csv")


def test_folders_behind_links_are_followed_and_a_loop_ends(folder, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "e.png").write_bytes(b"a photograph")
    (folder / "link").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere" / "back").symlink_to(folder)
    (folder / "line-1" / "loop").symlink_to(folder)

    assert names("photographs") == names("photographs/**") == tuple(sorted([*NAMES, "link/e.png"]))


def test_junk_is_passed_over_by_every_part_of_its_path_and_counted(folder):
    junk = (
        *("line-1/.ipynb_checkpoints/a-checkpoint.png", ".thumbnails/a.png", "line-2/@eaDir/c.bmp/SYNO_THUMB.jpg"),
        *("__MACOSX/line-1/._a.png", "__macosx/a.png", "Thumbs.db", "line-1/Desktop.ini", "._a.png", ".DS_Store"),
    )
    for name in junk:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"junk")

    whole = find_photographs([str(folder)], folder / "out")
    assert (tuple(whole.files), whole.passed_over) == (NAMES, {LEFT_BEHIND: len(junk)})
    assert names("photographs/**/*") == NAMES
    assert names(folder / "line-1" / ".ipynb_checkpoints" / "a-checkpoint.png") == ("a-checkpoint.png",)
    with pytest.raises(ValueError, match="no photographs here, 3 hidden, or left behind"):
        names("photographs/[!l]*")


@pytest.mark.parametrize(
    ("source", "complaint"),
    [
        ("nowhere", "nowhere: no such file or folder; name a photograph, a folder, a list"),
        ("*.tif", r"\*.tif: nothing matches this pattern"),
        ("empty", "empty: no photographs here; name a file"),
        ("wrong.txt", "wrong.txt: line 2: gone.png: no such file or folder, here or beside the list"),
        ("bytes.txt", "bytes.txt: expected a list of paths, one per line, in UTF-8"),
        ("comments.txt", "comments.txt: no photographs here"),
    ],
)
def test_a_source_without_a_photograph_is_one_line(folder, tmp_path, source, complaint):
    (tmp_path / "empty").mkdir()
    (tmp_path / "wrong.txt").write_text("photographs/line-1/a.png\ngone.png\n")
    (tmp_path / "bytes.txt").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "comments.txt").write_text("# nothing\n")

    with pytest.raises(ValueError, match=complaint):
        names("photographs", source)
