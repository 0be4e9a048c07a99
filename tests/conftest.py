"""What tests of several rooms use."""

import os
import sys

import pytest
from ruamel.yaml import YAML

# Tests start hundreds of processes, which would all compile the same code where a shell keeps Python from storing it.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.fixture(autouse=True)
def seeded():
    """Seeds torch where it is loaded, as pytest-randomly seeds random and numpy: no test depends on the one before."""
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.fixture(scope="session")
def set_values():
    """Sets values of a params.yaml; a double underscore steps into a section."""

    def set_values(path, **values):
        yaml = YAML()
        params = yaml.load(path)
        for name, value in values.items():
            *above, last = name.split("__")
            section = params
            for key in above:
                section = section[key]
            section[last] = value
        yaml.dump(params, path)

    return set_values
