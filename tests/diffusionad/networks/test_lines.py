import math

import pytest
import torch

from diffusionad.networks.lines import dark_lines

SIZE = 96


def with_line(angle, level, half_width=0.8, ground=0.5):
    """A noisy surface with a line through its middle, (1, 1, H, W)."""
    noise = 0.02 * torch.randn(1, 1, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    down, right = torch.meshgrid(*[torch.arange(SIZE) - SIZE / 2] * 2, indexing="ij")
    across = (down * math.cos(angle) - right * math.sin(angle)).abs()
    return torch.where(across < half_width, level, ground) + noise


@pytest.mark.parametrize("angle", [0, 0.3, math.pi / 4, 1.2, math.pi / 2, 2.5])
def test_a_dark_line_is_found_along_itself_in_any_direction(angle):
    response = dark_lines(with_line(angle, 0.3), 1.5, 4.0)[0, 0]

    places = torch.arange(8, 17, 4) - 12
    rows = (12 + places * math.sin(angle)).round().long()
    columns = (12 + places * math.cos(angle)).round().long()
    assert response[rows, columns].min() > 3 * response.flatten().median().clamp(min=0.02)


def test_a_bright_line_and_an_edge_are_no_dark_line():
    dark = dark_lines(with_line(0.3, 0.3), 1.5, 4.0).amax()
    edge = torch.full((1, 1, SIZE, SIZE), 0.5)
    edge[..., SIZE // 2 :] = 0.3

    # Beside a bright line, the ground is a little darker than it.
    assert dark_lines(with_line(0.3, 0.7), 1.5, 4.0).amax() < 0.6 * dark
    assert dark_lines(edge, 1.5, 4.0).amax() < 0.75 * dark


def test_the_contrast_of_the_whole_and_its_brightness_do_not_matter():
    """Above the floor, which stands for the noise of a camera, responses are in units of the local contrast."""
    surface = with_line(0.3, 0.3)

    torch.testing.assert_close(
        dark_lines(0.5 * surface + 0.2, 1.5, 4.0), dark_lines(surface, 1.5, 4.0), rtol=0.1, atol=0.05
    )


@pytest.mark.parametrize("size", [(64, 96), (61, 37), (16, 16), (3, 5)])
def test_responses_have_a_quarter_of_the_size(size):
    response = dark_lines(torch.rand(2, 1, *size), 1.5, 4.0)

    assert response.shape == (2, 1, -(-size[0] // 4), -(-size[1] // 4))
    assert response.isfinite().all()


def test_an_even_surface_has_no_lines():
    assert dark_lines(torch.full((1, 1, 64, 64), 0.4), 1.5, 4.0).abs().max() < 1e-4
