import numpy as np
import pytest

from diffusionad.foreground.mixture import energy, fit

CENTRES = np.asarray([[0.0, 0, 0], [40, 0, 0], [0, 60, 10]])


def cloud(seed=0):
    draws = np.random.default_rng(seed).normal(0, 2, (3, 400, 3)) + CENTRES[:, None]
    return draws.reshape(-1, 3)


def test_three_clouds_are_found_with_their_means_weights_and_spread():
    mixture = fit(cloud(), 3, 1e-6)

    order = [int(np.linalg.norm(mixture.means - centre, axis=1).argmin()) for centre in CENTRES]
    np.testing.assert_allclose(mixture.means[order], CENTRES, atol=0.5)
    np.testing.assert_allclose(np.exp(mixture.log_weights), 1 / 3, atol=0.02)
    np.testing.assert_allclose(mixture.covariances[0], 4 * np.eye(3), atol=1)


def test_one_component_has_the_energy_of_its_normal_distribution():
    pixels = cloud()
    mean, covariance = pixels.mean(axis=0), np.cov(pixels.T, bias=True)
    expected = [
        0.5 * (p - mean) @ np.linalg.inv(covariance) @ (p - mean) + 0.5 * np.log(np.linalg.det(covariance))
        for p in pixels[:20]
    ]

    np.testing.assert_allclose(energy(fit(pixels, 1, 0), pixels[:20]), expected, rtol=1e-6)


def test_the_order_of_the_pixels_does_not_matter():
    pixels = cloud()

    one, other = fit(pixels, 3, 0.1), fit(pixels[::-1], 3, 0.1)

    np.testing.assert_allclose(energy(one, pixels), energy(other, pixels), rtol=1e-9)


@pytest.mark.parametrize("count", [1, 2, 50])
def test_one_colour_makes_one_component(count):
    mixture = fit(np.full((count, 3), 7.0), 5, 0.5)

    np.testing.assert_array_equal(mixture.means, [[7, 7, 7]])
    np.testing.assert_array_equal(mixture.covariances, [0.5 * np.eye(3)])
