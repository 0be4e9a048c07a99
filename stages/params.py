"""Typed sections of params.yaml."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from diffusionad.section import Section
from stages.earlier import upgraded

S = TypeVar("S", bound=Section)

PARAMS = Path("params.yaml")
DETECTORS = Path("params", "detectors")
"""Beside params.yaml: the settings of each kind of detector, KIND.yaml."""

KEY = re.compile(r"\w[\w-]*")
"""What a key of `categories` and `datasets` may be: a dot would step into it, and DVC has no stage of another name."""

Size = tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]]


class Category(Section):
    """One entry of section `categories`: the data that one model is trained on. DVC names its stages by the key."""

    dataset: str = Field(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*$", description="a key of section `datasets`")
    category: str = Field(
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$", description="the category, as its data set calls it"
    )
    # The only keys that may be left out: stages before `train` do without a detector (dvc.yaml names it), and few
    # categories need a size of their own.
    detector: str | None = Field(default=None, description="kind that is trained; params/detectors/KIND.yaml")
    image_size: Size | None = Field(default=None, description="height and width, px, in place of section `image`")


class ImageConfig(Section):
    """Section `image`: the image size of every stage after `download` and `foreground`."""

    size: Size = Field(description="height and width, px; a category may have its own")


def read_section(kind: type[S], name: str, path: Path = PARAMS) -> S:
    """Read one section of params.yaml and check it.

    ruamel reads YAML 1.2, as DVC does: there 1e-4 is a number; in PyYAML's 1.1 it is a string.

    Args:
        kind: The class that describes the section.
        name: The section's key in the file; a dot steps into an entry of a section (`datasets.elpv`).
        path: The file.

    Raises:
        ValueError: If the section is missing, a key is unknown or missing, or a value has the wrong type or range;
            one message for each problem, with file, key, the expected and the actual value.
    """
    return _section(_load(path), kind, name, path)


def _section(section: Any, kind: type[S], name: str, path: Path) -> S:  # noqa: ANN401  # YAML holds anything
    for depth, key in enumerate(keys := name.split(".")):
        if not isinstance(section, dict) or key not in section:
            above = ".".join(keys[:depth])
            known = ", ".join(map(str, section)) if isinstance(section, dict) else "nothing"
            raise ValueError(f"{path}: no `{key}`{f' in `{above}`' if above else ''}; it holds {known}")
        section = section[key]
    return _validated(kind, upgraded(section, name, path), path, name)


def read_settings(kind: type[S], path: Path, given: Mapping[str, str]) -> S:
    """Read a file that is one section as a whole, with what its name says.

    Args:
        kind: The class of the section.
        path: The file.
        given: Values that the file does not repeat.

    Raises:
        ValueError: Same as `read_section`.
    """
    content = _load(path)
    if not isinstance(content, dict):
        raise ValueError(  # noqa: TRY004  # what a user can cause is a ValueError
            f"{path}: expected keys with values, got {type(content).__name__}"
        )
    return _validated(kind, content | dict(given), path, "")


def _validated(kind: type[S], content: Any, path: Path, name: str) -> S:  # noqa: ANN401  # YAML holds anything
    try:
        # JSON mode, so that a list may fill a tuple although the model is strict; a date becomes the text it was.
        return kind.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        raise ValueError("; ".join(_explain(path, name, kind, e) for e in error.errors())) from None


def read_category(key: str, path: Path = PARAMS) -> Category:
    """Read the entry `key` of section `categories`.

    Raises:
        ValueError: Same as `read_section` and `check_names`.
    """
    content = _load(path)
    check_names(content, path)
    return _section(content, Category, f"categories.{key}", path)


def model_name(dataset: str, category: str) -> str:
    """Name of the registered model of a category; `check_names` keeps two categories from having one."""
    return f"{dataset}-{category}"


def check_names(content: Any, path: Path) -> None:  # noqa: ANN401  # YAML holds anything
    """Refuse keys that cannot name a stage or a section, and categories that would write to the same place.

    Args:
        content: What params.yaml holds.
        path: The file.

    Raises:
        ValueError: For the first such key or pair of categories.
    """
    sections = {name: content.get(name) for name in ("categories", "datasets")} if isinstance(content, dict) else {}
    for name, section in sections.items():
        for key in section if isinstance(section, dict) else ():
            if not isinstance(key, str) or not KEY.fullmatch(key):
                raise ValueError(
                    f"{path}: key {key!r} of `{name}`: expected a text of letters, digits, _ and -, with no - at the "
                    "start; stages of DVC and registered models are named by it: rename it"
                )
    first: dict[str, tuple[str, str]] = {}
    categories = sections.get("categories")
    for key, entry in categories.items() if isinstance(categories, dict) else ():
        if not isinstance(entry, dict) or not all(isinstance(entry.get(k), str) for k in ("dataset", "category")):
            continue  # reported where it is read
        place = f"{entry['dataset']}/{entry['category']}"
        other, there = first.setdefault(model_name(entry["dataset"], entry["category"]), (key, place))
        if other != key:
            what = (
                f"are both {place}, and would write the same files; keep one of them"
                if there == place
                else f"are {there} and {place}, which would be one registered model; rename a data set"
            )
            raise ValueError(f"{path}: `categories.{other}` and `categories.{key}` {what}")


def read_image_size(key: str, path: Path = PARAMS) -> tuple[int, int]:
    """Read (height, width) in pixels at which a category is worked on: its own, or that of section `image`.

    Raises:
        ValueError: Same as `read_section`.
    """
    return read_category(key, path).image_size or read_section(ImageConfig, "image", path).size


def read_detector_kind(key: str, path: Path = PARAMS) -> str:
    """Read which kind of detector a category is for.

    Raises:
        ValueError: Same as `read_section`, or if the category names none.
    """
    kind = read_category(key, path).detector
    if kind is None:
        raise ValueError(f"{path}: `categories.{key}.detector` is missing; name a kind, as `detector: diffusionad`")
    return kind


def settings_files(key: str, path: Path = PARAMS) -> tuple[Path, ...]:
    """The files that hold the settings of a category: params.yaml, and that of its detector if it names one."""
    kind = read_category(key, path).detector
    return (path,) if kind is None else (path, detector_file(kind, path))


def detector_file(kind: str, path: Path = PARAMS) -> Path:
    """Where the settings of a kind of detector stand, beside a params.yaml."""
    return path.parent / DETECTORS / f"{kind}.yaml"


def _load(path: Path) -> Any:  # noqa: ANN401  # YAML holds anything
    try:
        return YAML(typ="safe").load(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: not found; run from the root of the repository") from None
    except YAMLError as error:
        raise ValueError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def _explain(path: Path, name: str, kind: type[Section], error: Any) -> str:  # noqa: ANN401  # pydantic's ErrorDetails
    place = ".".join(filter(None, [name, *map(str, error["loc"])]))
    if error["type"] == "extra_forbidden":
        return f"{path}: unknown key `{place}`; expected one of {', '.join(_fields(kind, error['loc']))}"
    if error["type"] == "missing":
        return f"{path}: `{place}` is missing; add it"
    # The input of a rule over several keys is the whole section; the rule's own text names the keys.
    came = "" if error["type"] == "value_error" else f", got {error['input']!r}"
    return f"{path}: `{place}`: {error['msg']}{came}"


def _fields(kind: type[Section], loc: tuple[str | int, ...]) -> list[str]:
    for step in loc[:-1]:
        field = kind.model_fields.get(str(step))
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, Section)):
            return ["the keys that the documentation names"]
        kind = field.annotation
    return list(kind.model_fields)
