import pytest

from stages.download import bucket
from stages.download.transfer import Interrupted


def test_objects_below_a_prefix_are_listed_over_pages(s3, monkeypatch):
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    for name in ("nut/0", "nut/1", "nut/2/3", "nut2/0"):
        s3.put_object(Bucket="factory", Key=f"sets/{name}", Body=b"xyz")

    tag = s3.head_object(Bucket="factory", Key="sets/nut/0")["ETag"]

    folder = list(bucket.list_objects("s3://factory/sets/nut/", 5))
    names = [stored.name for stored in bucket.list_objects("s3://factory/sets/nut", 5)]

    assert folder == [("0", 3, tag), ("1", 3, tag), ("2/3", 3, tag)]
    assert names == ["/0", "/1", "/2/3", "2/0"]
    monkeypatch.delenv("MOTO_S3_DEFAULT_MAX_KEYS")


def test_objects_are_copied_under_their_names_whatever_fits_into_memory(s3, tmp_path, monkeypatch):
    monkeypatch.setattr(bucket, "CHUNK", 2)
    for name in ("a/b.png", "c.png"):
        s3.put_object(Bucket="factory", Key=f"sets/{name}", Body=name.encode())

    bucket.copy_objects("s3://factory/sets", ["a/b.png", "c.png"], tmp_path, timeout_s=5, attempts=1)

    assert {p.relative_to(tmp_path).as_posix(): p.read_text() for p in tmp_path.rglob("*.png")} == {
        "a/b.png": "a/b.png",
        "c.png": "c.png",
    }


def test_a_key_that_leads_out_is_refused(s3, tmp_path):
    with pytest.raises(ValueError, match=r"\.\./x: leads out of the folder"):
        bucket.copy_objects("s3://factory/sets", ["../x"], tmp_path / "in", timeout_s=5, attempts=1)


@pytest.mark.parametrize(
    ("url", "reason"),
    [("s3://factory/gone.zip", "no such object"), ("s3://nobody/gone.zip", "no such bucket")],
)
def test_what_does_not_exist_is_told(s3, url, reason):
    with pytest.raises(ValueError, match=f"{url}: {reason}"):
        bucket.open_at(url, 0, None, 5)


def test_a_refusal_says_what_to_check(web, aws):
    aws(web.url)
    web.statuses["factory/a.zip"] = 403

    with pytest.raises(ValueError, match=r"s3://factory/a.zip: access denied; check AWS_ACCESS_KEY_ID"):
        bucket.open_at("s3://factory/a.zip", 0, None, 5)


@pytest.mark.parametrize(("status", "reason"), [("silent", "no answer"), (503, "the store answered 503")])
def test_what_may_pass_is_called_an_interruption(web, aws, status, reason):
    aws(web.url)
    web.statuses["factory/a.zip"] = status

    with pytest.raises(Interrupted, match=reason):
        bucket.open_at("s3://factory/a.zip", 0, None, 0.3)


def test_missing_credentials_are_told(moto_url, aws, monkeypatch, tmp_path):
    aws(moto_url)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))

    with pytest.raises(
        ValueError, match="no credentials; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
    ):
        bucket.open_at("s3://factory/a.zip", 0, None, 5)
