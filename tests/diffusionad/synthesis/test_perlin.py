import numpy as np
import pytest
from scipy import ndimage

from diffusionad.synthesis.perlin import perlin_mask, perlin_noise, rotate_points

SIZE = (128, 96)


def grid(size):
    return np.mgrid[0 : size[0], 0 : size[1]].astype(np.float32).reshape(2, -1)


def textbook_noise(size, cells, angles):
    """Perlin noise one pixel at a time, as Perlin (2002) defines it."""
    result = np.zeros(size)
    for r, c in np.ndindex(*size):
        y, x = r * cells[0] / size[0], c * cells[1] / size[1]
        i, j = int(y), int(x)
        fade = [6 * t**5 - 15 * t**4 + 10 * t**3 for t in (y - i, x - j)]
        for di, dj in np.ndindex(2, 2):
            angle = angles[i + di, j + dj]
            dot = np.sin(angle) * (y - i - di) + np.cos(angle) * (x - j - dj)
            result[r, c] += dot * (fade[0] if di else 1 - fade[0]) * (fade[1] if dj else 1 - fade[1])
    return np.sqrt(2) * result


@pytest.mark.parametrize("cells", [(1, 1), (2, 8), (5, 3)])
def test_noise_agrees_with_the_definition(cells):
    size = (20, 16)
    angles = np.random.default_rng(2).uniform(0, 2 * np.pi, (cells[0] + 1, cells[1] + 1))

    noise = perlin_noise(grid(size), size, cells, np.random.default_rng(2))

    np.testing.assert_allclose(noise.reshape(size), textbook_noise(size, cells, angles), atol=1e-5)


def test_noise_is_zero_at_lattice_points_and_bounded(rng):
    noise = perlin_noise(grid(SIZE), SIZE, (8, 4), rng).reshape(SIZE)

    np.testing.assert_allclose(noise[::16, ::24], 0, atol=1e-6)
    assert np.abs(noise).max() <= 1


def test_noise_is_zero_outside_the_image(rng):
    outside = np.asarray([[-0.01, 5, 128, 5], [5, -3, 5, 95.5]], dtype=np.float32)

    assert perlin_noise(outside, SIZE, (4, 4), rng).tolist() == [0, 0, 0, 0]


def test_a_quarter_turn_of_a_square_is_a_permutation_of_its_pixels():
    points = grid((5, 5))

    turned = rotate_points(points, (5, 5), 90).round(4)

    assert {tuple(p) for p in turned.T.tolist()} == {tuple(p) for p in points.T.tolist()}


def test_rotation_keeps_distances_to_the_centre():
    centre = (np.asarray(SIZE)[:, None] - 1) / 2
    points = grid(SIZE)

    turned = rotate_points(points, SIZE, 33)

    np.testing.assert_allclose(
        np.linalg.norm(turned - centre, axis=0), np.linalg.norm(points - centre, axis=0), atol=1e-3
    )


def test_the_area_before_rotation_is_that_of_the_published_generator(config):
    """Measured with the authors' generator at 256 px: mean 5.4 % of the image, 4.6 % of the draws empty."""
    perlin = config.masks.perlin.model_copy(update={"rotation_deg": (0.0, 0.0), "max_tries": 1})
    everywhere = np.ones((256, 256), dtype=bool)
    masks = [perlin_mask(perlin, everywhere, np.random.default_rng(i)) for i in range(300)]

    areas = [0.0 if mask is None else float(mask.mean()) for mask in masks]

    assert 0.045 < np.mean(areas) < 0.062
    assert 0.01 < np.mean(np.asarray(areas) == 0) < 0.09


def test_a_mask_lies_inside_the_foreground_and_is_not_empty(config, foreground):
    for seed in range(50):
        mask = perlin_mask(config.masks.perlin, foreground, np.random.default_rng(seed))

        assert mask is not None
        assert mask.any()
        assert not (mask & ~foreground).any()


def test_the_foreground_only_hides(config, foreground):
    """The same draw on the whole image shows the same mask wherever the foreground is."""
    whole = perlin_mask(config.masks.perlin, np.ones_like(foreground), np.random.default_rng(3))
    part = perlin_mask(config.masks.perlin, foreground, np.random.default_rng(3))

    np.testing.assert_array_equal(part, whole & foreground)


def test_noise_that_never_passes_the_threshold_gives_none(config, foreground, rng):
    strict = config.masks.perlin.model_copy(update={"threshold": 0.999, "max_exponent": 0, "max_tries": 2})

    assert perlin_mask(strict, foreground, rng) is None


def test_small_images_get_no_cells_below_the_limit(config):
    """A blob of noise is about as wide as a cell: without small cells no image is full of small blobs."""
    blob_px = {}
    for min_cell_px in (2, 16):
        perlin = config.masks.perlin.model_copy(update={"min_cell_px": min_cell_px, "rotation_deg": (0.0, 0.0)})
        masks = [perlin_mask(perlin, np.ones((64, 64), dtype=bool), np.random.default_rng(s)) for s in range(100)]
        blob_px[min_cell_px] = [mask.sum() / ndimage.label(mask)[1] for mask in masks]

    assert min(blob_px[2]) < 2
    assert min(blob_px[16]) > 4
