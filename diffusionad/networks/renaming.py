"""Weights of other implementations under the names that they have here."""

import re
from collections.abc import Callable, Mapping

from torch import Tensor

Rules = tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]
"""Regular expressions with their replacements, applied to a name one after the other."""


def rename(state: Mapping[str, Tensor], rules: Rules) -> dict[str, Tensor]:
    r"""Rename the entries of a state dict; their values and their order stay.

    Example:
        >>> list(rename({"_bn0.weight": Tensor(), "head.bias": Tensor()}, ((r"^_bn0\.", "norm."),)))
        ['norm.weight', 'head.bias']
    """
    return {_renamed(name, rules): value for name, value in state.items()}


def _renamed(name: str, rules: Rules) -> str:
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name
