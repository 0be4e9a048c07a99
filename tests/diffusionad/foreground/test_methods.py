import numpy as np
import pytest

from diffusionad.foreground.methods import prepare, whole_unless_credible

PLACES = [(22, 20), (22, 50), (22, 80), (52, 20), (52, 50), (52, 80), (37, 35)]


@pytest.mark.parametrize("method", ["threshold", "grabcut"])
def test_the_mask_has_the_size_of_the_image_however_small_it_was_worked_out(config, disc, photograph, overlap, method):
    coarse = config.model_copy(update={"working_px": 50})

    found = whole_unless_credible(coarse, prepare(coarse, method, [])(photograph(disc(), 0.1, 0.8)))

    assert found.mask.shape == disc().shape
    assert not found.fell_back
    assert overlap(found.mask, disc()) > 0.85


@pytest.mark.parametrize("method", ["threshold", "grabcut"])
def test_an_image_without_contrast_falls_back_to_the_whole(config, method):
    found = whole_unless_credible(config, prepare(config, method, [])(np.full((40, 50, 3), 0.5, np.float32)))

    assert found.fell_back
    assert found.mask.all()


@pytest.mark.parametrize("area", [(0.9, 1.0), (0.0, 0.05)], ids=["too small", "too large"])
def test_an_area_that_is_not_credible_falls_back_to_the_whole(config, disc, area):
    found = whole_unless_credible(config.model_copy(update={"area": area}), disc())

    assert found.fell_back
    assert found.mask.all()


def test_the_full_method_is_the_whole_image_on_purpose(config, disc, photograph):
    found = whole_unless_credible(config, prepare(config, "full", [])(photograph(disc(), 0.1, 0.8)))

    assert found.mask.all()
    assert not found.fell_back


def test_parts_that_lie_alike_are_cut_from_the_median_without_each_ones_noise(config, disc, photograph, overlap):
    sample = [photograph(disc(), 0.4, 0.6, noise=0.25, seed=seed) for seed in range(15)]
    find = prepare(config, "median_background", sample)

    masks = [whole_unless_credible(config, find(image)).mask for image in sample[:2]]

    np.testing.assert_array_equal(*masks)
    alone = whole_unless_credible(config, prepare(config, "threshold", [])(sample[0])).mask
    assert overlap(masks[0], disc()) > max(0.9, overlap(alone, disc()) + 0.1)


def test_parts_that_lie_elsewhere_each_time_are_what_differs_from_the_median(config, disc, photograph, overlap):
    # The light falls off, so that a part on the left is as bright as the background on the right.
    scenery = np.linspace(0.1, 0.6, 100)[None, :, None]
    discs = [disc(y, x, 14) for y, x in PLACES]
    sample = [photograph(each, scenery, scenery + 0.35, seed=i) for i, each in enumerate(discs)]
    find = prepare(config, "median_background", sample)

    found = [whole_unless_credible(config, find(image)) for image in sample]

    overlaps = [overlap(each.mask, truth) for each, truth in zip(found, discs, strict=True)]
    assert min(overlaps) > 0.85
    threshold = prepare(config, "threshold", [])
    assert overlap(whole_unless_credible(config, threshold(sample[0])).mask, discs[0]) < 0.5


def test_the_median_says_nothing_of_an_image_of_another_size(config, disc, photograph):
    find = prepare(config, "median_background", [photograph(disc(), 0.2, 0.8)])

    assert whole_unless_credible(config, find(np.full((60, 60, 3), 0.5, np.float32))).fell_back


def test_the_median_of_images_of_two_sizes_is_refused(config):
    sample = [np.zeros((20, 30, 3), np.float32), np.zeros((30, 20, 3), np.float32)]

    with pytest.raises(ValueError, match="needs images of one size and view; got 30 x 20, 20 x 30 px"):
        prepare(config, "median_background", sample)
