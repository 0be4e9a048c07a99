import re

import numpy as np
import pytest
import torch
from PIL import Image

from diffusionad.runtime.tiles import Mosaic


def photograph(height, width):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return Image.fromarray(pixels)


@pytest.mark.parametrize(("size", "overlap"), [((16, 16), 0), ((40, 16), 0), ((33, 50), 4), ((64, 17), 7)])
def test_tiles_that_say_what_is_there_give_the_image_back(size, overlap):
    image = photograph(*size)
    mosaic = Mosaic(image, (16, 16), overlap)

    for place, tile in mosaic.tiles():
        mosaic.add(place, torch.from_numpy(np.asarray(tile, np.float32)[..., 0]))

    np.testing.assert_allclose(mosaic.whole().numpy(), np.asarray(image)[..., 0], rtol=1e-5)


def test_neighbours_share_at_least_the_overlap():
    mosaic = Mosaic(photograph(50, 61), (16, 16), 5)

    places = [place for place, _ in mosaic.tiles()]

    for axis, side in ((0, 50), (1, 61)):
        starts = sorted({place[axis] for place in places})
        assert (starts[0], starts[-1]) == (0, side - 16)
        assert np.diff(starts).max() <= 16 - 5
    assert len(places) == mosaic.shape[0] * mosaic.shape[1]


@pytest.mark.parametrize(
    ("size", "overlap", "text"),
    [
        ((16, 15), 0, "PIL image: 16 x 15 px is smaller than a tile of 16 x 16 px, the model's size; predict it whole"),
        ((40, 40), 8, "overlap: expected 0 to 7 px, below half a tile, got 8"),
        ((40, 40), -1, "overlap: expected 0 to 7 px, below half a tile, got -1"),
    ],
)
def test_a_tile_that_does_not_fit_is_refused(size, overlap, text):
    with pytest.raises(ValueError, match=rf"\A{re.escape(text)}\Z"):
        Mosaic(photograph(*size), (16, 16), overlap)


def test_a_missing_photograph_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"nowhere\.png: no such file"):
        Mosaic(tmp_path / "nowhere.png", (16, 16), 0)
