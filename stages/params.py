"""Typed sections of params.yaml."""

import json
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import Field, ValidationError
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from diffusionad.section import Section

S = TypeVar("S", bound=Section)

PARAMS = Path("params.yaml")


class Category(Section):
    """One entry of section `categories`: the data that one model is trained on. DVC names its stages by the key."""

    dataset: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", description="a key of section `datasets`")
    category: str = Field(pattern=r"^[A-Za-z0-9_.-]+$", description="the category, as its data set calls it")


class ImageConfig(Section):
    """Section `image`: the image size of every stage after `download` and `foreground`."""

    size: tuple[Annotated[int, Field(ge=8)], Annotated[int, Field(ge=8)]] = Field(description="height and width, px")


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
    section = _load(path)
    for depth, key in enumerate(keys := name.split(".")):
        if not isinstance(section, dict) or key not in section:
            above = ".".join(keys[:depth])
            known = ", ".join(map(str, section)) if isinstance(section, dict) else "nothing"
            raise ValueError(f"{path}: no `{key}`{f' in `{above}`' if above else ''}; it holds {known}")
        section = section[key]
    try:
        # JSON mode, so that a list may fill a tuple although the model is strict; a date becomes the text it was.
        return kind.model_validate_json(json.dumps(section, default=str))
    except ValidationError as error:
        raise ValueError("; ".join(_explain(path, name, kind, e) for e in error.errors())) from None


def read_category(key: str, path: Path = PARAMS) -> Category:
    """Read the entry `key` of section `categories`.

    Raises:
        ValueError: Same as `read_section`.
    """
    return read_section(Category, f"categories.{key}", path)


def _load(path: Path) -> Any:  # noqa: ANN401  # YAML holds anything
    try:
        return YAML(typ="safe").load(path)
    except FileNotFoundError:
        raise ValueError(f"{path}: not found; run from the root of the repository") from None
    except YAMLError as error:
        raise ValueError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def _explain(path: Path, name: str, kind: type[Section], error: Any) -> str:  # noqa: ANN401  # pydantic's ErrorDetails
    place = ".".join([name, *map(str, error["loc"])])
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
