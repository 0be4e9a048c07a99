import numpy as np
import pytest
from PIL import Image

from stages.evaluate.report.page import PLOTLY
from stages.evaluate.report.tiles import SIDE_PX, draw_answers, draw_photographs, has_reconstructions


def read(path):
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGBA"))


@pytest.fixture
def noisy(tmp_path):
    """A photograph that compresses badly."""
    file = tmp_path / "noisy.png"
    pixels = np.random.default_rng(0).normal(128, 12, (600, 600, 3)).clip(0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(file)
    return file


def test_a_large_photograph_is_shrunk_and_a_small_one_is_not_enlarged(tmp_path, noisy):
    small = tmp_path / "small.png"
    Image.new("L", (30, 20), 90).save(small)

    draw_photographs(tmp_path, 7, [noisy, small], [None, None])

    assert read(tmp_path / "00007-photograph.webp").shape == (SIDE_PX, SIDE_PX, 4)
    assert read(tmp_path / "00008-photograph.webp").shape == (20, 30, 4)
    assert not list(tmp_path.glob("*-outline.webp"))


def test_an_outline_surrounds_the_mask_and_leaves_the_defect_free(tmp_path):
    mask = np.zeros((40, 60), np.uint8)
    mask[10:20, 20:40] = 255
    Image.fromarray(mask).save(tmp_path / "mask.png")
    Image.fromarray(mask).save(tmp_path / "image.png")

    draw_photographs(tmp_path, 0, [tmp_path / "image.png"], [tmp_path / "mask.png"])

    opacity = read(tmp_path / "00000-outline.webp")[..., 3]
    assert (opacity[11:19, 21:39] == 0).all()
    assert (opacity[8, 20:40] > 200).all()
    assert opacity[30:].max() == 0


def test_heat_is_transparent_below_three_quarters_of_the_threshold(tmp_path):
    anomaly_map = np.zeros((1, 16, 16), np.float32)
    anomaly_map[0, :, 8:] = 0.9
    anomaly_map[0, :, :8] = 0.37

    draw_answers(tmp_path, 0, 1, np.zeros((1, 3, 16, 16), np.float32), anomaly_map, 0.5)

    opacity = read(tmp_path / "00000-1-heat.webp")[..., 3]
    assert opacity[:, :7].max() == 0
    assert opacity[:, 9:].min() > 150
    assert read(tmp_path / "00000-1-map.webp")[8, 12, :3].sum() > read(tmp_path / "00000-1-map.webp")[8, 2, :3].sum()


def test_only_what_a_model_makes_is_drawn_of_it(tmp_path):
    maps = np.zeros((1, 16, 16), np.float32)

    draw_answers(tmp_path, 0, 0, np.zeros((1, 3, 16, 16), np.float32), maps, 0.5)
    draw_answers(tmp_path, 0, 1, None, maps, 0.5)

    assert [has_reconstructions(tmp_path, model) for model in (0, 1)] == [True, False]
    assert {file.name for file in tmp_path.glob("00000-1-*")} == {"00000-1-map.webp", "00000-1-heat.webp"}


def test_two_thousand_noisy_images_with_their_answers_stay_below_60_mb(tmp_path, noisy):
    rng = np.random.default_rng(0)
    draw_photographs(tmp_path, 0, [noisy], [None])
    blurred = np.kron(rng.random((1, 16, 16)), np.ones((16, 16))).astype(np.float32)
    draw_answers(tmp_path, 0, 0, np.repeat(blurred[:, None], 3, axis=1), blurred, 0.5)

    an_image = sum(file.stat().st_size for file in tmp_path.glob("*.webp"))

    assert 2000 * an_image + PLOTLY.stat().st_size < 60e6
