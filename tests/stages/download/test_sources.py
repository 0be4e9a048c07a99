import hashlib
import shutil
import sys
import threading
import zipfile
from pathlib import Path

import pytest

from stages.download import bucket
from stages.download.sources import find_root
from stages.download.watch.places import local_path, package_folder


@pytest.fixture
def archive(tmp_path, nut):
    return Path(shutil.make_archive(tmp_path / "mine", "zip", nut))


@pytest.fixture
def root(fetch_config, dataset_config, tmp_path):
    """Find the folder of a data set with these sources."""

    def find(*urls, mirror=None, sha256=None, **changes):
        sources = [{"url": url, "sha256": sha256} for url in urls]
        dataset = dataset_config(sources=sources, **changes)
        return find_root(fetch_config, dataset, "nut", mirror, tmp_path / "cache")

    return find


def names(folder):
    return sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())


@pytest.mark.parametrize("form", ["{}", "file://{}"])
def test_a_folder_is_used_where_it_lies(root, nut, form):
    assert root(form.format(nut)) == nut


def test_a_mirror_comes_before_the_sources(root, nut):
    assert root("http://127.0.0.1:9/never.zip", mirror=str(nut.parent), mirror_names=[nut.name]) == nut


def test_the_names_of_a_mirror_are_tried_in_order_and_may_name_the_category(root, nut):
    assert root(mirror=f"file://{nut}", mirror_names=["gone", "{category}"]) == nut / "nut"


def test_an_archive_on_a_mirror_is_unpacked(root, nut, archive, tmp_path):
    found = root(mirror=str(tmp_path))

    assert names(found) == names(nut)
    assert found.parent == tmp_path / "cache"


def test_an_archive_of_the_web_is_fetched_once_for_all_categories(root, web, nut, archive):
    web.files["mine.zip"] = archive.read_bytes()

    first, second = root(f"{web.url}/mine.zip"), root(f"{web.url}/mine.zip")

    assert first == second
    assert names(first) == names(nut)
    assert len(web.requests) == 1


def test_two_stages_at_once_fetch_an_archive_once(root, web, archive):
    web.files["mine.zip"] = archive.read_bytes()
    threads = [threading.Thread(target=root, args=(f"{web.url}/mine.zip",)) for _ in range(4)]

    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(web.requests) == 1


def test_the_category_stands_in_an_address(root, web, archive):
    web.files["nut.zip"] = archive.read_bytes()

    assert root(f"{web.url}/{{category}}.zip").is_dir()


def test_sources_are_tried_in_order(root, web, nut):
    assert root(f"{web.url}/gone.zip", str(nut)) == nut


def test_when_all_fail_each_tells_why_and_the_terms_tell_what_to_do(root, web):
    with pytest.raises(ValueError, match="404 Not Found") as refusal:
        root(f"{web.url}/gone.zip", "/nowhere", mirror="/mirror", terms="fill in the form at example.org")

    assert str(refusal.value).splitlines() == [
        "/mirror/mine: no such folder or archive",
        f"{web.url}/gone.zip: the server answered 404 Not Found",
        "/nowhere: no such folder or archive",
        "fill in the form at example.org",
    ]


def test_a_data_set_without_any_place_says_what_to_set(root):
    with pytest.raises(ValueError, match=r"no source and no mirror is named.*\nname a mirror with DATA_MIRROR"):
        root()


def test_a_bucket_serves_one_category_and_what_all_share(root, s3):
    for name in ("nut/train/good/0.png", "bolt/train/good/0.png", "split_csv/1cls.csv", "README"):
        s3.put_object(Bucket="factory", Key=f"sets/mine/{name}", Body=b"x")

    assert names(root(mirror="s3://factory/sets")) == ["README", "nut/train/good/0.png", "split_csv/1cls.csv"]


def test_a_bucket_whose_set_has_no_folder_for_the_category_is_served_whole(root, s3):
    for name in ("kos01/Part0.jpg", "kos02/Part0.jpg"):
        s3.put_object(Bucket="factory", Key=f"sets/mine/{name}", Body=b"x")

    assert names(root("s3://factory/sets/mine")) == ["kos01/Part0.jpg", "kos02/Part0.jpg"]


def test_a_bucket_may_hold_an_archive(root, s3, nut, archive):
    s3.upload_file(archive, "factory", "sets/mine.zip")

    assert names(root(mirror="s3://factory/sets")) == names(nut)


@pytest.mark.parametrize("size", [(31, 1), (1, 5 << 20)])
def test_a_bucket_beyond_the_bounds_is_refused(root, s3, size):
    count, length = size
    for i in range(count):
        s3.put_object(Bucket="factory", Key=f"mine/{i}", Body=bytes(length))

    with pytest.raises(ValueError, match=r"are more than download.fetch.max_files and max_unpacked_mib allow"):
        root("s3://factory/mine")


def test_a_failed_archive_leaves_no_tree(root, tmp_path):
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as packed:
        packed.writestr("ok", "1")
        packed.writestr("../evil", "2")

    with pytest.raises(ValueError, match="leads out"):
        root(str(tmp_path / "evil.zip"))

    assert [path.suffix for path in (tmp_path / "cache").iterdir()] == [".lock"]


def test_a_local_archive_is_verified(root, archive):
    with pytest.raises(ValueError, match=f"mine.zip: expected SHA-256 {'0' * 64}, got"):
        root(str(archive), sha256="0" * 64)
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    assert root(str(archive), sha256=digest).is_dir()


def test_paths_are_told_from_addresses(tmp_path):
    assert local_path(f"file://{tmp_path}/a%20b") == tmp_path / "a b"
    assert local_path("s3://x/y") is local_path("https://x") is local_path("package:x") is None


def test_a_package_is_found_without_being_imported():
    assert (package_folder("elpv-dataset") / "labels.csv").is_file()
    assert "elpv_dataset" not in sys.modules
    with pytest.raises(ValueError, match=r"package:no-such-thing: not installed; run `.venv/bin/pip install"):
        package_folder("no-such-thing")


@pytest.fixture
def other(nut, tmp_path):
    """An archive with one photograph more."""
    folder = Path(shutil.copytree(nut, tmp_path / "other"))
    shutil.copy(folder / "nut/train/good/00.png", folder / "nut/train/good/new.png")
    return Path(shutil.make_archive(tmp_path / "other", "zip", folder))


def test_an_archive_that_changed_on_its_server_is_fetched_anew(root, web, archive, other):
    web.files["mine.zip"] = archive.read_bytes()
    before = names(root(f"{web.url}/mine.zip"))
    web.files["mine.zip"] = other.read_bytes()

    assert names(root(f"{web.url}/mine.zip")) == sorted([*before, "nut/train/good/new.png"])
    root(f"{web.url}/mine.zip")
    assert len(web.requests) == 2


def test_an_archive_whose_server_tells_no_versions_is_fetched_each_time(root, web, archive, other):
    web.has_tags, web.files["mine.zip"] = False, archive.read_bytes()
    root(f"{web.url}/mine.zip")
    web.files["mine.zip"] = other.read_bytes()

    assert "nut/train/good/new.png" in names(root(f"{web.url}/mine.zip"))


def test_an_archive_with_a_stated_checksum_is_fetched_once_and_for_all(root, web, archive):
    web.files["mine.zip"] = archive.read_bytes()
    digest = hashlib.sha256(archive.read_bytes()).hexdigest()
    first = root(f"{web.url}/mine.zip", sha256=digest)
    web.files.clear()

    assert root(f"{web.url}/mine.zip", sha256=digest) == first


def test_an_archive_that_a_killed_process_left_is_not_taken_for_what_the_server_has_now(root, web, archive, other):
    web.files["mine.zip"] = other.read_bytes()
    tree = root(f"{web.url}/mine.zip")
    shutil.rmtree(tree)
    shutil.copy(archive, tree.with_name(f"{tree.name}-mine.zip"))
    root(f"{web.url}/mine.zip")

    assert "nut/train/good/new.png" in names(root(f"{web.url}/mine.zip"))


@pytest.mark.parametrize("trouble", [404, 503, "silent"])
def test_what_was_fetched_stays_usable_while_its_server_is_away(root, web, archive, caplog, trouble):
    web.files["mine.zip"] = archive.read_bytes()
    first = root(f"{web.url}/mine.zip")
    web.statuses["mine.zip"] = trouble

    assert root(f"{web.url}/mine.zip") == first
    assert "what was fetched before is used, and may be old" in caplog.text


def test_a_changed_archive_that_is_damaged_leaves_what_was_fetched_before(root, web, archive):
    web.files["mine.zip"] = archive.read_bytes()
    tree = root(f"{web.url}/mine.zip")
    before = names(tree)
    web.files["mine.zip"] = b"no archive"

    with pytest.raises(ValueError, match="not an archive"):
        root(f"{web.url}/mine.zip")

    assert names(tree) == before


def test_of_a_bucket_that_changed_only_what_is_new_is_copied(root, s3, monkeypatch):
    for name in ("a.png", "b.png", "c.png"):
        s3.put_object(Bucket="factory", Key=f"mine/nut/{name}", Body=name.encode())
    first = root("s3://factory/mine")
    s3.put_object(Bucket="factory", Key="mine/nut/b.png", Body=b"edited")
    s3.put_object(Bucket="factory", Key="mine/nut/d.png", Body=b"new")
    s3.delete_object(Bucket="factory", Key="mine/nut/c.png")
    copied, copy = [], bucket.copy_objects
    monkeypatch.setattr(
        bucket, "copy_objects", lambda url, new, *at, **how: copied.extend(new) or copy(url, new, *at, **how)
    )

    assert names(root("s3://factory/mine")) == ["nut/a.png", "nut/b.png", "nut/d.png"]
    assert (first / "nut" / "b.png").read_bytes() == b"edited"
    assert sorted(copied) == ["nut/b.png", "nut/d.png"]


def test_a_bucket_that_is_away_leaves_what_was_copied(root, s3, aws):
    s3.put_object(Bucket="factory", Key="mine/nut/a.png", Body=b"a")
    first = root("s3://factory/mine")
    aws("http://127.0.0.1:9")

    assert root("s3://factory/mine") == first
