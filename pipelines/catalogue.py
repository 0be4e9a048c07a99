"""The categories that params.yaml names."""

from pathlib import Path
from typing import NamedTuple

from ruamel.yaml import YAML

from stages.params import PARAMS, model_name, read_category
from stages.paths import CategoryPaths


class Entry(NamedTuple):
    """One category."""

    key: str
    """Key in section `categories`; it names the DVC stages."""
    paths: CategoryPaths

    @property
    def model_name(self) -> str:
        """Name of the registered model."""
        return model_name(self.paths.dataset, self.paths.category)


def find_categories(dataset: str | None, category: str | None, params: Path = PARAMS) -> list[Entry]:
    """List the categories of a data set, or one of them.

    Args:
        dataset: Name of the data set; None for every data set.
        category: Name of the category; None for every category.
        params: The settings file.

    Raises:
        ValueError: If no category matches; the message names those that exist.
    """
    try:
        keys = list(YAML(typ="safe").load(params)["categories"])
    except (OSError, KeyError, TypeError):
        raise ValueError(f"{params}: no section `categories`; run from the root of the repository") from None
    known = [(key, read_category(key, params)) for key in keys]
    entries = [Entry(key, CategoryPaths(entry.dataset, entry.category)) for key, entry in known]
    found = [
        entry
        for entry in entries
        if dataset in (None, entry.paths.dataset) and category in (None, entry.paths.category)
    ]
    if not found:
        names = ", ".join(str(entry.paths) for entry in entries)
        raise ValueError(f"{params}: no category {dataset or 'any'}/{category or 'any'}; it holds {names}")
    return found
