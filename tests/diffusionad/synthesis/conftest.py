"""Settings of the paper's recipe with thin and plain masks beside it, and small images."""

from pathlib import Path

import numpy as np
import pytest

from diffusionad.synthesis.blend import SynthesisConfig
from diffusionad.synthesis.textures import Textures

SETTINGS = Path(__file__).with_name("settings.json")


@pytest.fixture(scope="session")
def config():
    return SynthesisConfig.model_validate_json(SETTINGS.read_text())


@pytest.fixture(scope="session")
def textures(config):
    return Textures(config.textures, (64, 64))


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture
def normal():
    """A coloured 64x64 image that uses all of [0, 1]."""
    return np.random.default_rng(1).random((64, 64, 3), dtype=np.float32)


@pytest.fixture
def foreground():
    """A disc."""
    y, x = np.mgrid[0:64, 0:64] - 31.5
    return x**2 + y**2 < 24**2
