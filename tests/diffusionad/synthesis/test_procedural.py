import numpy as np
import pytest

from diffusionad.synthesis.procedural import KINDS, draw_texture


@pytest.mark.parametrize("size", [(64, 64), (33, 50)])
@pytest.mark.parametrize("kind", KINDS, ids=lambda k: k.__name__)
def test_every_kind_varies_inside_the_unit_interval(kind, size):
    for seed in range(15):
        field = kind(np.random.default_rng(seed), size)

        assert field.shape == size
        assert field.dtype == np.float32
        assert field.min() >= 0
        assert field.max() <= 1
        assert field.std() > 0.02


def test_textures_are_coloured_and_differ():
    drawn = [draw_texture(np.random.default_rng([0, i]), (32, 32)) for i in range(24)]

    assert len({texture.tobytes() for texture in drawn}) == 24
    assert all(np.ptp(texture, axis=2).max() > 0.01 for texture in drawn)
    assert all(texture.min() >= 0 and texture.max() <= 1 for texture in drawn)
