"""What tests of several rooms use."""

import os
import sys

import hypothesis
import pytest

# Tests start hundreds of processes, which would all compile the same code where a shell keeps Python from storing it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# A busy machine is slow: how long an example takes says nothing about what it is of.
hypothesis.settings.register_profile("tests", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow])
hypothesis.settings.load_profile("tests")


@pytest.fixture(autouse=True)
def seeded():
    """Seeds torch where it is loaded, as pytest-randomly seeds random and numpy: no test depends on the one before."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)
