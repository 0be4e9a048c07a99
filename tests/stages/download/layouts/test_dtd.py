import pytest

from stages.download.layouts import dtd
from toys.pictures import paint


def test_dtd_is_read_as_downloaded(tmp_path, rows):
    paint(tmp_path / "images/banded/banded_0002.jpg")
    paint(tmp_path / "images/veined/veined_0001.jpg")
    (tmp_path / "labels").mkdir()

    assert rows(dtd.find(tmp_path, "textures")) == [
        ("images/banded/banded_0002.jpg", "train", 0, "good", None),
        ("images/veined/veined_0001.jpg", "train", 0, "good", None),
    ]


@pytest.mark.parametrize("category", ["banded", "textures"])
def test_anything_else_is_refused(tmp_path, category):
    with pytest.raises(ValueError, match="of the one category `textures`"):
        dtd.find(tmp_path, category)
