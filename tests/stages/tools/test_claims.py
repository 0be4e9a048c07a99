import pytest
import torch

from stages.paths import CategoryPaths
from stages.tools.claims import measure_claims


def test_a_part_that_does_not_exist_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no part `wings`; expected some of starter, .*gpu"):
        measure_claims(["wings"], paths=CategoryPaths("elpv", "mono", tmp_path))


@pytest.mark.skipif(torch.cuda.is_available(), reason="is about a machine without a GPU")
def test_the_part_about_a_gpu_says_that_there_is_none(tmp_path):
    paths = CategoryPaths("elpv", "mono", tmp_path)

    with pytest.raises(ValueError, match="torch finds no GPU here"):
        measure_claims(["gpu"], paths=paths)

    assert not paths.claims.exists()
