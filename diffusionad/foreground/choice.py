"""Method `auto`: choose the method, among those that need nothing but the images, that suits a category best."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffusionad.foreground.colours import colours, shrunk
from diffusionad.foreground.credibility import credibility
from diffusionad.foreground.methods import ForegroundConfig, Method, prepare, whole_unless_credible

CANDIDATES: tuple[Method, ...] = ("threshold", "grabcut", "median_background")
"""Methods that are tried, from simple to costly; of equally credible ones the first is chosen."""


class Choice(NamedTuple):
    """A method and the reason for it."""

    method: Method
    reason: str
    """The reason as text, for the log."""
    credibility: dict[Method, float]
    """Mean credibility over the sample, in [0, 1], of each method that can be used."""


def choose_method(config: ForegroundConfig, sample: Sequence[NDArray[np.float32]]) -> Choice:
    """Try the methods on a sample of a category.

    `isnet` is not tried: it takes seconds per image and needs weights; whoever has them can name it.

    Args:
        config: Settings of the methods.
        sample: Images, RGB in [0, 1], shape (H, W, 3) each, at least one.

    Returns:
        The method with the highest mean credibility; `full` if that is below `min_credibility`.
    """
    small = [shrunk(image, config.working_px) for image in sample]
    one_size = len({image.shape for image in small}) == 1
    found = {
        method: _mean_credibility(config, method, small)
        for method in CANDIDATES
        if method != "median_background" or (one_size and len(small) > 1)
    }
    best = max(found, key=lambda method: found[method])
    listed = ", ".join(f"{method} {value:.2f}" for method, value in found.items())
    if found[best] < config.min_credibility:
        reason = f"no method reaches credibility {config.min_credibility:.2f} on {len(small)} images: {listed}"
        return Choice("full", reason, found)
    return Choice(best, f"the most credible on {len(small)} images: {listed}", found)


def _mean_credibility(config: ForegroundConfig, method: Method, sample: Sequence[NDArray[np.float32]]) -> float:
    find = prepare(config, method, sample)
    masks = [whole_unless_credible(config, find(image)).mask for image in sample]
    pictures = (colours(image, config.scene.lightness) for image in sample)
    return float(np.mean([credibility(picture, mask) for picture, mask in zip(pictures, masks, strict=True)]))
