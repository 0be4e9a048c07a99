import numpy as np
import pytest
import torch

from diffusionad.diffusion.process import predict_x_0, q_sample


@pytest.fixture
def pair():
    """Two images in [0, 1], and noise."""
    generator = torch.Generator().manual_seed(0)
    x_0 = torch.rand(2, 3, 8, 8, generator=generator)
    return x_0, torch.randn(x_0.shape, generator=generator)


@pytest.mark.parametrize("t", [0, 1, 200, 400, 999])
def test_the_noise_that_was_added_gives_the_image_back(schedule, pair, t):
    x_0, epsilon = (tensor.double() for tensor in pair)
    steps = torch.tensor([t, 0])

    x_t = q_sample(schedule, x_0, steps, epsilon)

    torch.testing.assert_close(predict_x_0(schedule, x_t, steps, epsilon), x_0, atol=1e-11, rtol=0)


def test_the_first_step_leaves_the_image_and_the_last_leaves_the_noise(schedule, pair):
    x_0, epsilon = pair

    first = q_sample(schedule, x_0, torch.tensor([0, 0]), epsilon)
    last = q_sample(schedule, x_0, torch.tensor([999, 999]), epsilon)

    torch.testing.assert_close(first, x_0, atol=0.05, rtol=0)
    torch.testing.assert_close(last, epsilon, atol=0.01, rtol=0)


def test_noising_keeps_a_variance_of_one(schedule):
    generator = torch.Generator().manual_seed(0)
    x_0, epsilon = torch.randn(2, 1, 1, 100, 1000, generator=generator)

    assert float(q_sample(schedule, x_0, torch.tensor([300]), epsilon).var()) == pytest.approx(1, abs=0.02)


def test_both_directions_are_those_of_the_authors(schedule, golden):
    arrays = {key: torch.from_numpy(golden[key]) for key in golden if golden[key].dtype == np.float32}
    for scale in ("s", "b"):
        t = torch.from_numpy(golden[f"t_{scale}"]).repeat(2)

        x_t = q_sample(schedule, arrays["x0"], t, arrays[f"noise_{scale}"])
        x_0_hat = predict_x_0(schedule, x_t, t, arrays[f"eps_{scale}"]).clamp(-1, 1)

        torch.testing.assert_close(x_t, arrays[f"x_t{scale}"], atol=1e-6, rtol=0)
        torch.testing.assert_close(x_0_hat, arrays[f"x0_{scale}"], atol=1e-5, rtol=0)
