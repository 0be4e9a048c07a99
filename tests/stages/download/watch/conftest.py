import pytest

from stages.download.watch import look as module
from stages.download.watch.look import look, refresh
from stages.files import read_json
from stages.paths import CategoryPaths

PATHS = CategoryPaths("mine", "nut")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder: one that is empty."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.delenv(module.SWITCH, raising=False)
    return tmp_path / "here"


@pytest.fixture
def fingerprint(here, dataset_config):
    """Take the fingerprint of a data set with these sources."""

    def take(*urls, mirror=None, sha256=None, is_known=False, **changes):
        sources = [{"url": str(url), "sha256": sha256} for url in urls]
        dataset = dataset_config(sources=sources, **changes)
        return look(dataset, "nut", mirror, timeout_s=0.5, is_known=is_known).fingerprint

    return take


@pytest.fixture
def refreshed(here, dataset_config):
    """Write the fingerprint of a data set with these sources, as every `dvc repro` does, and return it."""

    def write(*urls, mirror=None):
        dataset = dataset_config(sources=[{"url": str(url), "sha256": None} for url in urls])
        refresh(dataset, PATHS, mirror, 0.5)
        return read_json(PATHS.source)

    return write
