"""The plan of an ablation: the rows of its table, from section `ablation` of params.yaml."""

import re
from typing import Any

from pydantic import Field, NonNegativeInt, model_validator

from diffusionad.section import Section
from stages.params import Size


class Row(Section):
    """One row: a model, how it is trained and how it infers. Keys that a row does not need are left out."""

    name: str = Field(min_length=1, description="name of the row in the table; unique")
    group: str = Field(min_length=1, description="part of the table")
    detector: str | None = Field(
        default=None, description="kind whose settings the row starts from; by default that of `weights_of`"
    )
    weights_of: str | None = Field(
        default=None, description="name of a trained row above, whose weights this row uses in another way"
    )
    untrained: bool = Field(default=False, description="whether the weights of `weights_of` are random instead")
    set: dict[str, Any] = Field(
        default_factory=dict, description="values that replace those of the settings, by dotted name"
    )
    image_size: Size | None = Field(
        default=None,
        description="height and width in px at which the row is trained; by default those of section `image`",
    )

    @property
    def file_name(self) -> str:
        """The name as part of a path."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


class AblationConfig(Section):
    """Section `ablation` of params.yaml."""

    seeds: tuple[NonNegativeInt, ...] = Field(min_length=1, description="seeds of the trainings; each is a row")
    controls: tuple[str, ...] = Field(
        description="controls without a network, by their names in `stages.tools.controls`"
    )
    rows: tuple[Row, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _rows_fit_together(self) -> "AblationConfig":
        trained: set[str] = set()
        seen: set[str] = set()
        for row in self.rows:
            if row.file_name in seen:
                raise ValueError(f"two rows are called `{row.name}`")
            seen.add(row.file_name)
            if row.weights_of is None:
                if row.detector is None or row.untrained:
                    raise ValueError(f"row `{row.name}` needs `detector`, the kind it trains, or `weights_of`")
                trained.add(row.name)
            elif row.weights_of not in trained:
                raise ValueError(f"row `{row.name}`: no row above it that is trained is called `{row.weights_of}`")
        return self

    @property
    def kinds(self) -> list[str]:
        """The kinds of detectors that rows name, each once."""
        return list(dict.fromkeys(row.detector for row in self.rows if row.detector is not None))


def with_values(settings: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """Return nested settings with values replaced by dotted name; neither argument changes.

    Raises:
        ValueError: If the settings have no such name.

    Example:
        >>> with_values({"guidance": {"scale": 0.5, "t_s": 3}}, {"guidance.scale": 2.0})
        {'guidance': {'scale': 2.0, 't_s': 3}}
    """
    changed = dict(settings)
    for name, value in values.items():
        first, _, rest = name.partition(".")
        if first not in changed or (rest and not isinstance(changed[first], dict)):
            raise ValueError(f"there is no `{name}`; expected one of {', '.join(settings)}")
        changed[first] = with_values(changed[first], {rest: value}) if rest else value
    return changed
