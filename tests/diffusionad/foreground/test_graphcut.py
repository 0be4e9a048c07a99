import itertools

import numpy as np
import pytest

from diffusionad.foreground.graphcut import min_cut

LINKS = [((0, 1), 1.0), ((1, 0), 1.0), ((1, 1), 2**0.5), ((1, -1), 2**0.5)]


def totals(masks, inside, outside, colours, smoothness):
    """The costs of divisions, (N, H, W), written out pixel by pixel and pair by pair."""
    height, width = inside.shape
    pairs = [
        ((y, x), (y + down, x + right), span)
        for (down, right), span in LINKS
        for y in range(height)
        for x in range(width)
        if y + down < height and 0 <= x + right < width
    ]
    squares = np.asarray([((colours[a] - colours[b]) ** 2).sum() for a, b, _ in pairs])
    costs = smoothness * np.exp(-squares / (2 * squares.mean())) / [span for *_, span in pairs]
    parted = np.stack([masks[:, *a] != masks[:, *b] for a, b, _ in pairs], axis=1)
    return np.where(masks, inside, outside).sum(axis=(1, 2)) + parted @ costs


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("smoothness", [0.0, 0.5, 2.0])
def test_no_division_of_a_small_picture_is_cheaper(seed, smoothness):
    rng = np.random.default_rng(seed)
    inside, outside, colours = rng.random((3, 4)), rng.random((3, 4)), rng.random((3, 4, 3))
    every = np.asarray(list(itertools.product([False, True], repeat=12))).reshape(-1, 3, 4)

    mask = min_cut(inside, outside, colours, smoothness)

    least = totals(every, inside, outside, colours, smoothness).min()
    # Costs are rounded to hundredths, 12 of pixels and 29 of links.
    assert totals(mask[None], inside, outside, colours, smoothness) <= least + 0.2


def test_without_smoothness_each_pixel_takes_its_cheaper_side():
    rng = np.random.default_rng(1)
    inside, outside = rng.integers(0, 9, (2, 20, 30)).astype(float)

    mask = min_cut(inside, outside, rng.random((20, 30, 3)), 0)

    np.testing.assert_array_equal(mask[inside != outside], (inside < outside)[inside != outside])


def test_a_plain_picture_is_not_divided_where_it_does_not_pay():
    inside, outside = np.zeros((2, 10, 10))
    inside[5, 5] = 3

    assert min_cut(inside, outside + 0.1, np.zeros((10, 10, 3)), 50).all()
