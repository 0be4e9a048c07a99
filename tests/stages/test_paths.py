from pathlib import Path

from stages.paths import CategoryPaths


def test_paths_below_another_folder_are_others():
    here, there = CategoryPaths("elpv", "mono"), CategoryPaths("elpv", "mono", Path("elsewhere"))

    assert here == CategoryPaths("elpv", "mono")
    assert here != there
    assert "elsewhere" in repr(there)
    assert there.model == Path("elsewhere") / here.model


def test_paths_as_text_name_the_category():
    assert str(CategoryPaths("elpv", "mono", Path("elsewhere"))) == "elpv/mono"
