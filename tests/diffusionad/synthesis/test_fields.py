import numpy as np
import pytest

from diffusionad.synthesis.fields import smooth_field


@pytest.mark.parametrize("size", [(7, 5), (64, 48)])
@pytest.mark.parametrize("cells", [(1, 1), (3, 4), (16, 2)])
def test_a_smooth_field_stays_in_the_unit_interval(size, cells, rng):
    field = smooth_field(rng, size, cells)

    assert field.shape == size
    assert field.min() >= 0
    assert field.max() <= 1 + 1e-6


def test_a_smooth_field_passes_through_its_knots():
    knots = np.random.default_rng(4).random((4, 3), dtype=np.float32)

    field = smooth_field(np.random.default_rng(4), (31, 21), (3, 2))

    np.testing.assert_allclose(field[::10, ::10], knots, atol=1e-5)


def test_a_smooth_field_changes_little_from_pixel_to_pixel(rng):
    field = smooth_field(rng, (65, 65), (4, 4))

    assert np.abs(np.diff(field, axis=0)).max() <= 4 / 64 + 1e-5
