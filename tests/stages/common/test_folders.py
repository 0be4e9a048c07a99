"""Whatever links and programs left in a folder, each file has one name or is junk."""

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from stages.common.folders import files_under, is_junk

PARTS = st.sampled_from(["a", "b", "Thumbs.db", ".hidden", "@eaDir", "__MACOSX", "good", "c.png"])


@given(names=st.sets(st.lists(PARTS, min_size=1, max_size=3).map("/".join), max_size=8), loop=st.booleans())
@settings(max_examples=40, deadline=None)
def test_every_file_is_listed_once_or_is_junk_whatever_links_lead_back(tmp_path_factory, names, loop):
    folder, written = tmp_path_factory.mktemp("folder"), set()
    for name in sorted(names):
        file = folder / f"{name}.d" if (folder / name).is_dir() else folder / name
        if any(parent.is_file() for parent in file.parents):
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"x")
        written.add(file)
    if loop:
        for place in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
            (place / "loop").symlink_to(folder)

    below = files_under(folder)

    assert below.files == sorted(set(below.files))
    assert {*below.files, *below.junk} == written
    assert all(is_junk(file.relative_to(folder).as_posix()) for file in below.junk)
    assert not any(is_junk(Path(file).relative_to(folder).as_posix()) for file in below.files)
