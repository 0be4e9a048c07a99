import numpy as np
import pytest

from diffusionad.metrics.pixels import split_pixels, sweep_pixels

DIAGONAL = np.eye(4, dtype=np.bool_)


def test_pixels_that_touch_at_a_corner_are_one_region():
    (image,) = split_pixels([np.zeros((4, 4))], [DIAGONAL])

    assert image.regions == 1
    assert image.weights.tolist() == [0.25] * 4


def test_the_weights_of_an_image_sum_to_its_number_of_regions():
    mask = np.random.default_rng(0).random((30, 30)) < 0.2

    (image,) = split_pixels([np.zeros(mask.shape)], [mask])

    assert image.regions > 10
    assert image.weights.sum() == pytest.approx(image.regions)
    assert image.normal.size + image.anomalous.size == mask.size


def test_an_image_without_a_region_holds_normal_pixels_only():
    (image,) = split_pixels([np.arange(4.0).reshape(2, 2)], [np.zeros((2, 2), np.bool_)])

    assert image.regions == 0
    assert image.normal.tolist() == [0, 1, 2, 3]
    assert image.anomalous.size == image.weights.size == 0


def test_scores_that_differ_in_float64_only_keep_their_order():
    a_bit_more = np.array([[1.0, 1.0 + 1e-12]])

    steps = sweep_pixels([a_bit_more], [a_bit_more > 1])

    assert steps.false_before.tolist() == steps.false_after.tolist() == [0.0]


@pytest.mark.parametrize(
    ("maps", "masks", "message"),
    [
        ([np.zeros((2, 2))] * 2, [DIAGONAL[:2, :2]], "image 1: expected a map and a mask, got no mask"),
        ([np.zeros((2, 2))], [DIAGONAL[:2, :2]] * 2, "image 1: expected a map and a mask, got no map"),
        ([np.zeros((2, 2))], [np.full((2, 2), 255, np.uint8)], "image 0: expected a mask of bool, got uint8"),
        (
            [np.zeros((2, 2))],
            [DIAGONAL],
            r"image 0: expected map and mask of one shape \(H, W\), got \(2, 2\), \(4, 4\)",
        ),
        ([np.zeros(4)], [DIAGONAL[0]], r"image 0: expected map and mask of one shape \(H, W\)"),
        ([], [], "undefined: there is no image"),
    ],
)
def test_what_does_not_fit_is_refused(maps, masks, message):
    with pytest.raises(ValueError, match=message):
        sweep_pixels(maps, masks)
