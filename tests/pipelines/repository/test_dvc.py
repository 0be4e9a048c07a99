"""Failures that another attempt may mend, told from others: a real DVC, and a real stage of this project."""

import subprocess
import sys
from pathlib import Path

import pytest
import zc.lockfile

from pipelines.errors import TransientError
from pipelines.repository.dvc import changed_stages, reproduce_stage, stream_dvc
from toys.datasets import describe_dataset
from toys.params import set_values

ROOT = Path(__file__).parents[3]
STAGE_S = 600
"""Only ends what hangs."""
PIPELINE = """\
stages:
  download:
    foreach: ${categories}
    do:
      cmd: $STAGE_PYTHON -m stages.download ${key}
      params: [datasets]
      outs: ["reports/${item.dataset}/${item.category}/validation.html"]
  train:
    cmd: echo "the server answered 503, no answer (timed out)" >&2; exit STATUS
    outs: [model]
"""


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """Makes a repository whose only data set lies at an address, and whose stage `train` fails with a status."""

    def make(url="http://127.0.0.1:9/parts.zip", status=1):
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        monkeypatch.delenv("DATA_MIRROR", raising=False)
        params = tmp_path / "params.yaml"
        params.write_text((ROOT / "params.yaml").read_text())
        set_values(
            params,
            datasets__parts=describe_dataset("parts", url),
            categories={"parts-plate": {"dataset": "parts", "category": "plate"}},
            download__fetch__attempts=2,
            download__fetch__wait_s=0,
        )
        (tmp_path / "dvc.yaml").write_text(PIPELINE.replace("STATUS", str(status)))
        subprocess.run([sys.executable, "-m", "dvc", "init", "--quiet", "--no-scm"], cwd=tmp_path, check=True)
        return tmp_path

    return make


def reproduce(stage, folder):
    return reproduce_stage(stage, folder, lambda _line: None, STAGE_S)


def test_a_download_without_an_answer_may_be_tried_again(checkout):
    with pytest.raises(TransientError, match=r"parts.zip: no answer .*refused.*, 2 times; run again to resume"):
        reproduce("download@parts-plate", checkout())


def test_a_download_that_is_refused_is_not_tried_again(checkout, answering):
    with pytest.raises(ValueError, match=r"parts.zip: the server answered 404") as caught:
        reproduce("download@parts-plate", checkout(f"{answering({})}/parts.zip"))

    assert not isinstance(caught.value, TransientError)


@pytest.mark.parametrize(("status", "is_transient"), [(75, True), (1, False)])
def test_the_exit_status_of_a_stage_counts_and_not_its_words(checkout, status, is_transient):
    with pytest.raises(ValueError, match="`dvc --wait-for-lock repro --single-item train` failed") as caught:
        reproduce("train", checkout(status=status))

    assert isinstance(caught.value, TransientError) is is_transient


def test_a_lock_of_another_dvc_may_be_gone_later(checkout):
    folder = checkout()
    lock = zc.lockfile.LockFile(str(folder / ".dvc" / "tmp" / "lock"))
    try:
        with pytest.raises(TransientError, match="Unable to acquire lock"):
            stream_dvc(folder, lambda _line: None, STAGE_S, "repro", "train")
    finally:
        lock.close()


def test_a_remote_out_of_reach_may_answer_later(checkout, monkeypatch):
    pytest.importorskip("dvc_s3")
    for name, value in {
        "AWS_ACCESS_KEY_ID": "nobody",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_MAX_ATTEMPTS": "1",
    }.items():
        monkeypatch.setenv(name, value)
    folder = checkout()
    (folder / "photograph.png").write_bytes(b"pixels")
    for line in (
        "remote add --default store s3://bucket/dvc",
        "remote modify store endpointurl http://127.0.0.1:9",
        "add photograph.png",
    ):
        stream_dvc(folder, lambda _line: None, STAGE_S, *line.split())

    with pytest.raises(TransientError, match="Could not connect to the endpoint URL"):
        stream_dvc(folder, lambda _line: None, STAGE_S, "push")


def test_a_look_that_always_runs_is_no_change(checkout, monkeypatch):
    folder = checkout()
    stage = "stages:\n  watch:\n    cmd: echo 1 > seen\n    always_changed: true\n    outs: [seen]\n"
    (folder / "dvc.yaml").write_text(stage)
    monkeypatch.chdir(folder)
    assert changed_stages("watch") == ["watch"]
    reproduce("watch", folder)

    assert changed_stages("watch") == []
    assert changed_stages("watch", looks=True) == ["watch"]
