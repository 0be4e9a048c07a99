import numpy as np
import pytest
from PIL import Image

from stages.common.sheets import write_sheet


def colour(value, size=(10, 10)):
    return np.full((*size, 3), value, np.float32)


def test_pictures_stand_row_by_row(tmp_path):
    path = tmp_path / "reports" / "sheet.png"

    write_sheet(path, [colour(0.2), colour(0.4), colour(0.6)], columns=2, tile_px=20)

    sheet = np.asarray(Image.open(path))
    assert sheet.shape == (4 + 2 * 24, 4 + 2 * 24, 3)
    assert [int(sheet[14 + 24 * r, 14 + 24 * c, 0]) for r, c in ((0, 0), (0, 1), (1, 0), (1, 1))] == [51, 102, 153, 255]


@pytest.mark.parametrize("size", [(10, 40), (40, 10), (500, 125)])
def test_a_picture_keeps_its_proportions(tmp_path, size):
    write_sheet(tmp_path / "sheet.png", [colour(0.0, size)], columns=6, tile_px=40)

    black = np.argwhere(np.asarray(Image.open(tmp_path / "sheet.png"))[..., 0] == 0)
    height, width = np.ptp(black, axis=0) + 1
    assert max(height, width) == 40
    assert height / width == pytest.approx(size[0] / size[1], rel=0.05)
