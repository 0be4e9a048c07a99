import pytest

from benchmarks.fuzz_readers import KINDS, fuzz


@pytest.mark.parametrize("layout", KINDS)
def test_broken_annotation_files_are_read_whole_or_refused(layout):
    """The short form; `tests/benchmarks/fuzz_readers.py`, run by itself, is the long one."""
    outcomes = fuzz(layout, 300, seed=1)

    assert min(outcomes["read"], outcomes["refused"]) > 10
