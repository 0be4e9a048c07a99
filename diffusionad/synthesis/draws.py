"""Random draws: weighted choice, and a generator per item, so that order and number of workers change nothing."""

from typing import Self

import numpy as np
from pydantic import model_validator

from diffusionad.section import Section


class Weights(Section):
    """Relative frequencies of alternatives: a subclass has a field of at least 0 for each."""

    @model_validator(mode="after")
    def _some_weight(self) -> Self:
        if sum(self.model_dump().values()) <= 0:
            raise ValueError("at least one weight must be above 0")
        return self


def weighted_choice(weights: Weights, rng: np.random.Generator) -> str:
    """Draw the name of one field of `weights`, with a probability in proportion to its value.

    Args:
        weights: Relative frequencies of the alternatives.
        rng: Source of the draw; one uniform number is taken.
    """
    names, values = zip(*weights.model_dump().items(), strict=True)
    shares = np.asarray(values)
    return str(names[rng.choice(len(names), p=shares / shares.sum())])


def item_generator(seed: int, sha256: str, index: int) -> np.random.Generator:
    """Derive the generator of the index-th draw on one image.

    Args:
        seed: Seed of the section that draws, at least 0.
        sha256: Digest of the image's file, 64 hexadecimal digits (column `sha256` of the manifest).
        index: Number of the draw on this image, at least 0 (an epoch, or the number of a stored anomaly).

    Returns:
        A generator that depends on these three arguments only.

    Example:
        >>> a, b = item_generator(0, "ab" * 32, 1), item_generator(0, "ab" * 32, 1)
        >>> a.random() == b.random()
        True
    """
    return np.random.default_rng([seed, int(sha256[:16], 16), index])
