import numpy as np
import pytest

from diffusionad.foreground.grabcut import grabcut_mask


def test_an_object_of_two_colours_is_cut_from_a_background_of_two(config, disc, photograph, overlap):
    left = np.arange(100)[None, :, None] < 45
    background, object_ = np.where(left, 0.3, 0.45), np.where(left, (0.9, 0.5, 0.1), (0.2, 0.4, 0.9))

    mask = grabcut_mask(config.grabcut, config.scene, photograph(disc(), background, object_))

    assert overlap(mask, disc()) > 0.9


def test_the_frame_is_never_part_of_the_object(config, disc, photograph):
    touching = disc(y=10, radius=30)

    mask = grabcut_mask(config.grabcut, config.scene, photograph(touching, 0.2, 0.8))

    assert mask.any()
    assert not mask[:2].any()


@pytest.mark.parametrize("value", [0.0, 0.4])
def test_a_plain_picture_holds_nothing(config, value):
    assert not grabcut_mask(config.grabcut, config.scene, np.full((40, 50, 3), value, np.float32)).any()


def test_two_runs_agree(config, disc, photograph):
    image = photograph(disc(), 0.3, 0.6, noise=0.1)

    masks = [grabcut_mask(config.grabcut, config.scene, image) for _ in range(2)]

    np.testing.assert_array_equal(*masks)


def test_more_smoothness_makes_a_shorter_outline(config, disc, photograph):
    image = photograph(disc(), 0.4, 0.6, noise=0.15)

    def length(smoothness):
        loose = config.grabcut.model_copy(update={"smoothness": smoothness})
        mask = grabcut_mask(loose, config.scene, image)
        return (mask[1:] != mask[:-1]).sum() + (mask[:, 1:] != mask[:, :-1]).sum()

    assert length(0.0) > 2 * length(50.0)
