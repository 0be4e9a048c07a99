"""Separate an object from its background by one threshold, on grey or on the distance to the border's colour."""

from typing import Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from skimage import filters

from diffusionad.foreground.colours import colours, frame_mask
from diffusionad.foreground.credibility import credibility
from diffusionad.foreground.tidy import TidyConfig, tidied
from diffusionad.section import Section

ThresholdRule = Literal["otsu", "triangle", "border_colour"]


class SceneConfig(Section):
    """Part `scene` of section `foreground`: assumptions about photographs that all methods share."""

    border_px: int = Field(ge=1, description="width of the frame that counts as background, px at the working size")
    lightness: float = Field(
        gt=0,
        le=1,
        description="weight of L* against a* and b*, except in border_colour; a lower weight ignores more shadows",
    )


class ThresholdConfig(Section):
    """Part `threshold` of section `foreground`."""

    rule: Literal["auto", "otsu", "triangle", "border_colour"] = Field(
        description="otsu and triangle cut grey, border_colour the distance to the frame's colour; auto: the most "
        "credible of the three on each image"
    )
    border_lightness: float = Field(gt=0, le=1, description="weight of L* in border_colour")


class Cut(NamedTuple):
    """An object and its credibility."""

    mask: NDArray[np.bool_]
    """The object, shape (H, W)."""
    credibility: float
    """In [0, 1]."""


def threshold_cut(config: ThresholdConfig, scene: SceneConfig, tidy: TidyConfig, image: NDArray[np.float32]) -> Cut:
    """Segment an object by one threshold.

    Args:
        config: The rule.
        scene: Width of the frame and weight of lightness.
        tidy: Settings of the morphology.
        image: RGB in [0, 1], shape (H, W, 3), at the working size.
    """
    picture = colours(image, scene.lightness)
    rules: tuple[ThresholdRule, ...] = get_args(ThresholdRule) if config.rule == "auto" else (config.rule,)
    masks = [tidied(tidy, _side(rule, config, scene, image)) for rule in rules]
    return max((Cut(mask, credibility(picture, mask)) for mask in masks), key=lambda cut: cut.credibility)


def _side(
    rule: ThresholdRule, config: ThresholdConfig, scene: SceneConfig, image: NDArray[np.float32]
) -> NDArray[np.bool_]:
    border = frame_mask((image.shape[0], image.shape[1]), scene.border_px)
    if rule == "border_colour":
        picture = colours(image, config.border_lightness)
        return far_pixels(np.linalg.norm(picture - np.median(picture[border], axis=0), axis=2))
    grey = image.mean(axis=2)
    if np.ptp(grey) == 0:
        return np.zeros(grey.shape, dtype=bool)
    # scikit-image does not annotate these functions.
    cut = filters.threshold_otsu if rule == "otsu" else filters.threshold_triangle
    bright = grey > cut(grey)  # type: ignore[no-untyped-call]
    # The border shows background: whichever side of the threshold it is mostly on is not the object.
    return np.asarray(~bright if bright[border].mean() > 0.5 else bright)  # noqa: PLR2004  # a majority


def far_pixels(distance: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Return where a distance is large, by Otsu's threshold.

    Args:
        distance: Distances of at least 0, shape (H, W).

    Returns:
        bool, shape (H, W); all False if the distance is the same everywhere.
    """
    if np.ptp(distance) == 0:
        return np.zeros(distance.shape, dtype=bool)
    return np.asarray(distance > filters.threshold_otsu(distance))  # type: ignore[no-untyped-call]
