import pandas as pd
import pytest

from diffusionad.data.manifest import SCHEMA, manifest_digest, read_manifest, read_metadata, write_manifest


def row(path, **changes):
    return {
        "path": path,
        "split": "train",
        "label": 0,
        "defect": "good",
        "mask": None,
        "category": "nut",
        "dataset": "mine",
        "width": 4,
        "height": 3,
        "mode": "L",
        "sha256": "0" * 64,
        "group": path,
        "brightness": 0.5,
        "fingerprint": "0" * 64,
    } | changes


def frame(*rows):
    return pd.DataFrame(list(rows))


def test_a_manifest_reads_back_as_written(tmp_path):
    written = frame(row("a.png"), row("b.png", label=1, defect="crack", mask="b_mask.png", brightness=None))

    write_manifest(written, tmp_path / "m.parquet", {"licence": "CC0"})
    read = read_manifest(tmp_path / "m.parquet")

    assert list(read.columns) == SCHEMA.names
    assert list(read["path"]) == ["a.png", "b.png"]
    assert list(read["mask"].isna()) == [True, False]
    assert list(read["brightness"].isna()) == [False, True]
    assert read_metadata(tmp_path / "m.parquet") == {"licence": "CC0"}


def test_the_bytes_do_not_depend_on_the_order_of_rows_columns_or_metadata(tmp_path):
    a, b = row("a.png"), row("b.png")
    turned = frame(b, a)[SCHEMA.names[::-1]]

    write_manifest(frame(a, b), tmp_path / "1", {"x": "1", "y": "2"})
    write_manifest(turned, tmp_path / "2", {"y": "2", "x": "1"})

    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


@pytest.mark.parametrize("change", [{"label": 1}, {"mask": "m.png"}, {"sha256": "1" * 64}])
def test_the_digest_tells_one_content_from_another(tmp_path, change):
    write_manifest(frame(row("a.png")), tmp_path / "1", {})
    write_manifest(frame(row("a.png", **change)), tmp_path / "2", {})

    assert manifest_digest(tmp_path / "1") != manifest_digest(tmp_path / "2")


def test_the_digest_counts_the_metadata_and_nothing_of_the_file(tmp_path):
    write_manifest(frame(row("a.png")), tmp_path / "1", {"seed": "0"})
    write_manifest(frame(row("a.png")), tmp_path / "2", {"seed": "1"})
    write_manifest(frame(row("a.png")), tmp_path / "3", {"seed": "0"})

    assert manifest_digest(tmp_path / "1") != manifest_digest(tmp_path / "2")
    assert manifest_digest(tmp_path / "1") == manifest_digest(tmp_path / "3")


def test_a_missing_column_is_refused_when_writing(tmp_path):
    with pytest.raises(ValueError, match="a manifest has the columns"):
        write_manifest(frame(row("a.png")).drop(columns="mask"), tmp_path / "m", {})


def test_a_missing_manifest_says_how_to_make_it(tmp_path):
    with pytest.raises(ValueError, match=r"m: no such manifest; run `dvc repro`"):
        read_manifest(tmp_path / "m")


def test_a_file_that_is_no_manifest_is_refused(tmp_path):
    (tmp_path / "text").write_text("path,label\n")
    frame(row("a.png"))[["path"]].to_parquet(tmp_path / "half")

    with pytest.raises(ValueError, match="text: not a manifest"):
        read_manifest(tmp_path / "text")
    with pytest.raises(ValueError, match="half: not a manifest: no column split"):
        read_manifest(tmp_path / "half")
