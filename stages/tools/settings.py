"""Lay a profile over params.yaml: `diffusionad settings apply params/paper.yaml`."""

import shutil
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from stages.files import atomic_file
from stages.params import DETECTORS, PARAMS, detector_file

SECTION = "detectors"
"""Section of a profile that holds settings of detectors."""


def lay_over(profile: Path, params: Path = PARAMS) -> list[str]:
    """Write the values of a profile into params.yaml and the settings of detectors; comments and other values stay.

    Args:
        profile: YAML file with some of the keys of params.yaml; `categories` and `datasets` may have new ones. Its
            section `detectors.KIND` has some of the keys of params/detectors/KIND.yaml.
        params: File to change; the settings of detectors are beside it.

    Returns:
        The keys whose values changed, as `section.key`.

    Raises:
        ValueError: If a file is missing or not YAML, or the profile has a key that the file to change lacks. Nothing
            is written then.
    """
    yaml = round_trip()
    values = load(yaml, profile)
    detectors = values.pop(SECTION, {})
    files = {params: load(yaml, params)}
    changed = _merge(files[params], values, profile, params.name, [])
    for kind, settings in detectors.items():
        file = detector_file(kind, params)
        files[file] = load(yaml, file)
        parts = _merge(files[file], settings, profile, f"{DETECTORS.as_posix()}/{file.name}", [])
        changed += [f"{SECTION}.{kind}.{key}" for key in parts]
    for file, content in files.items():
        with atomic_file(file) as draft:
            yaml.dump(content, draft)
    return changed


def round_trip() -> YAML:
    """Return a reader and writer of settings that keeps comments, and writes as params.yaml is written."""
    yaml = YAML()
    yaml.width = 4096  # a line stays a line
    yaml.preserve_quotes = True
    yaml.indent(mapping=2, sequence=4, offset=2)
    # ruamel would write null as nothing.
    yaml.representer.add_representer(
        type(None), lambda writer, _: writer.represent_scalar("tag:yaml.org,2002:null", "null")
    )
    return yaml


def copy_settings(params: Path, folder: Path) -> Path:
    """Copy params.yaml and the settings of detectors beside it into a folder; return the copy of params.yaml."""
    shutil.copytree(params.parent / DETECTORS, folder / DETECTORS, dirs_exist_ok=True)
    return Path(shutil.copy(params, folder))


def _merge(settings: Any, values: Any, profile: Path, name: str, above: list[str]) -> list[str]:  # noqa: ANN401  # YAML holds anything
    changed = []
    for key, value in values.items():
        place = [*above, key]
        if key not in settings and above[:1] not in (["categories"], ["datasets"]):
            raise ValueError(f"{profile}: {name} has no key `{'.'.join(place)}`")
        if isinstance(value, dict) and isinstance(settings.get(key), dict):
            changed += _merge(settings[key], value, profile, name, place)
        elif settings.get(key) != value:
            settings[key] = value
            changed.append(".".join(place))
    return changed


def load(yaml: YAML, path: Path) -> Any:  # noqa: ANN401  # YAML holds anything
    """Read a file with its comments.

    Raises:
        ValueError: If it is missing or not YAML.
    """
    try:
        return yaml.load(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: not found") from None
    except YAMLError as error:
        raise ValueError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
