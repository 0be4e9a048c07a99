import hashlib

import pytest

from stages.download.fetch import fetch_file
from stages.files import file_digest

DATA = bytes(range(256)) * 4000
SHA = hashlib.sha256(DATA).hexdigest()


def test_a_file_is_fetched_and_verified(web, fetch_config, tmp_path):
    web.files["a.zip"] = DATA

    fetch_file(fetch_config, f"{web.url}/a.zip", tmp_path / "a", SHA)

    assert (tmp_path / "a").read_bytes() == DATA
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert file_digest(tmp_path / "a") == SHA


def test_a_broken_connection_is_resumed_where_it_broke(web, fetch_config, tmp_path):
    web.files["a.zip"] = DATA
    web.break_after["a.zip"] = 300_000
    with pytest.raises(
        ValueError, match=r"a.zip: the connection broke after 300000 of 1024000 bytes, 2 times; run again"
    ):
        fetch_file(fetch_config, f"{web.url}/a.zip", tmp_path / "a", SHA)
    assert not (tmp_path / "a").exists()
    web.break_after.clear()
    web.requests.clear()

    fetch_file(fetch_config, f"{web.url}/a.zip", tmp_path / "a", SHA)

    assert web.requests == [("a.zip", "bytes=300000-")]
    assert (tmp_path / "a").read_bytes() == DATA


@pytest.mark.parametrize("change", ["ranges are ignored", "the file has changed", "the part is too long"])
def test_a_resume_that_does_not_fit_starts_anew(web, fetch_config, tmp_path, change):
    web.files["a.zip"], web.break_after["a.zip"] = DATA[::-1] if "changed" in change else DATA, 300_000
    with pytest.raises(ValueError, match="run again to resume"):
        fetch_file(fetch_config, f"{web.url}/a.zip", tmp_path / "a", None)
    web.break_after.clear()
    web.files["a.zip"], web.ignore_ranges = DATA, "ignored" in change
    if "long" in change:
        (tmp_path / "a.part").write_bytes(DATA * 2)

    fetch_file(fetch_config, f"{web.url}/a.zip", tmp_path / "a", SHA)

    assert (tmp_path / "a").read_bytes() == DATA


def test_a_wrong_checksum_leaves_nothing(web, fetch_config, tmp_path):
    web.files["a.zip"] = DATA

    with pytest.raises(ValueError, match=f"a.zip: expected SHA-256 {'0' * 64}, got {SHA}; what came was deleted"):
        fetch_file(fetch_config, f"{web.url}/a.zip", tmp_path / "a", "0" * 64)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("status", "reason", "requests"),
    [
        (403, "the server answered 403 Forbidden$", 1),
        (404, "the server answered 404 Not Found$", 1),
        (503, "the server answered 503 Service Unavailable, 2 times", 2),
        (429, "the server answered 429 Too Many Requests, 2 times", 2),
        ("silent", "no answer .*, 2 times", 2),
    ],
)
def test_only_what_may_pass_is_tried_again(web, fetch_config, tmp_path, status, reason, requests):
    web.statuses["a.zip"] = status

    with pytest.raises(ValueError, match=reason):
        fetch_file(fetch_config, f"{web.url}/a.zip", tmp_path / "a", None)

    assert len(web.requests) == requests


def test_a_server_that_is_down_is_told(fetch_config, tmp_path):
    with pytest.raises(ValueError, match=r"http://127.0.0.1:9/a.zip: no answer .*refused"):
        fetch_file(fetch_config, "http://127.0.0.1:9/a.zip", tmp_path / "a", None)


def test_an_object_of_a_bucket_is_fetched_and_resumed(s3, fetch_config, tmp_path):
    s3.put_object(Bucket="factory", Key="sets/a.zip", Body=DATA)
    tag = s3.head_object(Bucket="factory", Key="sets/a.zip")["ETag"]
    (tmp_path / "a.part").write_bytes(DATA[:1000])
    (tmp_path / "a.tag").write_text(tag)

    fetch_file(fetch_config, "s3://factory/sets/a.zip", tmp_path / "a", SHA)

    assert (tmp_path / "a").read_bytes() == DATA


def test_an_object_that_has_changed_is_fetched_anew(s3, fetch_config, tmp_path):
    s3.put_object(Bucket="factory", Key="a.zip", Body=DATA)
    (tmp_path / "a.part").write_bytes(b"another beginning")
    (tmp_path / "a.tag").write_text('"another"')

    fetch_file(fetch_config, "s3://factory/a.zip", tmp_path / "a", SHA)

    assert (tmp_path / "a").read_bytes() == DATA
