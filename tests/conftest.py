"""What tests of several rooms use."""

import pytest
from ruamel.yaml import YAML


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
