"""A schedule, and images with the noise for two steps, as fixtures that conftests import."""

import pytest
import torch

from diffusionad.diffusion.schedule import NoiseSchedule, ScheduleConfig


@pytest.fixture(scope="session")
def schedule():
    """The paper's."""
    return NoiseSchedule(ScheduleConfig(num_timesteps=1000, beta_start=1e-4, beta_end=2e-2))


@pytest.fixture
def draw():
    """Draws images in [-0.5, 0.5], far from the clamp at +-1, and the noise for both steps."""

    def draw(count, side):
        generator = torch.Generator().manual_seed(0)
        x_0 = torch.rand(count, 1, side, side, generator=generator) - 0.5
        return x_0, torch.randn(x_0.shape, generator=generator), torch.randn(x_0.shape, generator=generator)

    return draw
