import pytest

from stages.common.folders import walk
from stages.download.layouts.listing import files_below, folder_names
from toys.pictures import paint

JUNK = [
    ".ipynb_checkpoints/a-checkpoint.png",
    ".thumbnails/a.png",
    "@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg",
    "__MACOSX/._a.png",
    "#recycle/a.png",
    "Thumbs.db",
    "desktop.ini",
    "._a.png",
    ".DS_Store",
]


@pytest.mark.parametrize("name", JUNK)
@pytest.mark.parametrize("place", ["", "deep/er"])
def test_junk_is_junk_by_every_part_of_its_path(tmp_path, name, place):
    paint(tmp_path / "a.png")
    junk = tmp_path / place / name
    junk.parent.mkdir(parents=True, exist_ok=True)
    junk.write_bytes(b"")

    assert files_below(tmp_path) == [tmp_path / "a.png"]
    assert (junk, True) in list(walk(tmp_path))


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path):
    paint(tmp_path / "elsewhere/deep/b.png")
    paint(tmp_path / "home/a.png")
    (tmp_path / "home/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/deep/round").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "home/self").symlink_to(tmp_path / "home")

    found = [path.relative_to(tmp_path / "home").as_posix() for path in files_below(tmp_path / "home")]

    assert found == ["a.png", "linked/deep/b.png"]
    assert folder_names(tmp_path / "home") == ["linked", "self"]


def test_a_link_that_leads_nowhere_is_listed_so_that_it_is_missed(tmp_path):
    (tmp_path / "gone.png").symlink_to(tmp_path / "nowhere.png")

    assert files_below(tmp_path) == [tmp_path / "gone.png"]


def test_a_folder_that_is_not_there_holds_nothing(tmp_path):
    assert files_below(tmp_path / "no") == []


def test_folders_that_link_to_each_other_end(tmp_path):
    for i in range(8):
        paint(tmp_path / f"{i}/a.png")
        for j in range(8):
            if i != j:
                (tmp_path / f"{i}/to{j}").symlink_to(tmp_path / f"{j}")

    assert len(files_below(tmp_path)) <= 8 * (1 + 7 + 7 * 6)


def test_a_link_back_to_a_folder_above_shows_nothing_twice(tmp_path):
    paint(tmp_path / "nut/train/good/a.png")
    paint(tmp_path / "nut/test/dent/b.png")
    (tmp_path / "nut/test/dent/loop").symlink_to(tmp_path / "nut")

    assert files_below(tmp_path / "nut/test") == [tmp_path / "nut/test/dent/b.png"]
