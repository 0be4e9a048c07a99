import pytest

from diffusionad.diffusion.schedule import NoiseSchedule, ScheduleConfig


@pytest.fixture(scope="session")
def schedule():
    """The paper's."""
    return NoiseSchedule(ScheduleConfig(num_timesteps=1000, beta_start=1e-4, beta_end=2e-2))
