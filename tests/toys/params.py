"""An editor of params.yaml that keeps its comments."""

from ruamel.yaml import YAML


def set_values(path, **values):
    """Set values of a params.yaml; a double underscore steps into a section."""
    yaml = YAML()
    params = yaml.load(path)
    for name, value in values.items():
        *above, last = name.split("__")
        section = params
        for key in above:
            section = section[key]
        section[last] = value
    yaml.dump(params, path)
