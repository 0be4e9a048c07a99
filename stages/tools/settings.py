"""Lay a profile over params.yaml: `diffusionad settings apply params/paper.yaml`."""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.files import atomic_file
from stages.params import PARAMS


def lay_over(profile: Path, params: Path = PARAMS) -> list[str]:
    """Write the values of a profile into params.yaml; comments and other values stay.

    Args:
        profile: YAML with a part of the keys of params.yaml; `categories` and `datasets` may bring new ones.
        params: The file to change.

    Returns:
        The keys whose values changed, as `section.key`.

    Raises:
        ValueError: If a file is missing or not YAML, or the profile has a key that params.yaml does not have.
    """
    yaml = YAML()
    yaml.width = 120
    yaml.indent(mapping=2, sequence=4, offset=2)
    # ruamel would write null as nothing.
    yaml.representer.add_representer(
        type(None), lambda writer, _: writer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    settings, values = _load(yaml, params), _load(yaml, profile)
    changed = _merge(settings, values, profile, [])
    with atomic_file(params) as draft:
        yaml.dump(settings, draft)
    return changed


def _merge(settings: Any, values: Any, profile: Path, above: list[str]) -> list[str]:  # noqa: ANN401  # YAML holds anything
    changed = []
    for key, value in values.items():
        place = [*above, key]
        if key not in settings and above[:1] not in (["categories"], ["datasets"]):
            raise ValueError(f"{profile}: params.yaml has no key `{'.'.join(place)}`")
        if isinstance(value, dict) and isinstance(settings.get(key), dict):
            changed += _merge(settings[key], value, profile, place)
        elif settings.get(key) != value:
            settings[key] = value
            changed.append(".".join(place))
    return changed


def _load(yaml: YAML, path: Path) -> Any:  # noqa: ANN401  # YAML holds anything
    try:
        return yaml.load(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: not found") from None
    except YAMLError as error:
        raise ValueError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
