"""All methods that find the object on a photograph, behind one function."""

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from diffusionad.data.ranges import UnitRange
from diffusionad.foreground.colours import colours, resized, shrunk
from diffusionad.foreground.credibility import credibility
from diffusionad.foreground.grabcut import GrabCutConfig, grabcut_mask
from diffusionad.foreground.isnet import IsNetConfig, load_isnet
from diffusionad.foreground.median import median_image, unlike_median
from diffusionad.foreground.threshold import SceneConfig, ThresholdConfig, threshold_cut
from diffusionad.foreground.tidy import TidyConfig, tidied
from diffusionad.section import Section

Method = Literal["full", "threshold", "grabcut", "median_background", "isnet"]
"""`full`: the whole image, for textures. `threshold`: one threshold on grey or colour. `grabcut`: mixtures of colours
and a graph cut. `median_background`: the difference to the median of a sample. `isnet`: a neural network."""

ObjectFinder = Callable[[NDArray[np.float32]], NDArray[np.bool_]]
"""Maps an image, RGB in [0, 1] of shape (H, W, 3), to a mask of shape (H, W), empty if nothing was found."""


class ForegroundConfig(Section):
    """Section `foreground` of params.yaml."""

    working_px: int = Field(ge=16, description="larger images are shrunk until their longer side has this length, px")
    area: UnitRange = Field(description="lowest and highest fraction of the image that a credible foreground covers")
    sample: int = Field(
        ge=1, description="number of images that `auto` tries each method on, and that the median is computed from"
    )
    min_credibility: float = Field(ge=0, le=1, description="`auto` takes the whole image if no method reaches this")
    max_area_change: float = Field(
        gt=0, description="masks whose area differs more from the median are reported; relative to the median"
    )
    masks: str | None = Field(
        description="for `masks`: folder of PNGs named like the images; {dataset} and {category} stand for their names"
    )
    scene: SceneConfig
    tidy: TidyConfig
    threshold: ThresholdConfig
    grabcut: GrabCutConfig
    isnet: IsNetConfig


class Foreground(NamedTuple):
    """The mask of the object on an image: where anomalies may lie."""

    mask: NDArray[np.bool_]
    """Shape (H, W), never empty."""
    found: float
    """Fraction of the image that the method took for the object, in [0, 1], whether or not that was credible."""
    fell_back: bool
    """Whether no credible object was found, so that the mask is the whole image."""


def prepare(config: ForegroundConfig, method: Method, sample: Sequence[NDArray[np.float32]]) -> ObjectFinder:
    """Prepare a method for images: read its weights, or take the median of a sample.

    Args:
        config: Settings of the methods.
        method: Name of the method.
        sample: Images, RGB in [0, 1], shape (H, W, 3) each; used by `median_background` only, which needs at least one.

    Raises:
        ValueError: If `median_background` is given images of different sizes, or `isnet` lacks ONNX Runtime or weights.
    """
    if method == "full":
        return lambda image: np.ones(image.shape[:2], dtype=bool)
    if method == "isnet":
        return load_isnet(config.isnet)
    finds: dict[Method, ObjectFinder] = {
        "threshold": lambda image: threshold_cut(config.threshold, config.scene, config.tidy, image).mask,
        "grabcut": lambda image: tidied(config.tidy, grabcut_mask(config.grabcut, config.scene, image)),
    }
    find = finds.get(method) or _by_median(config, [shrunk(image, config.working_px) for image in sample])
    return lambda image: resized(find(shrunk(image, config.working_px)), (image.shape[0], image.shape[1]))


def whole_unless_credible(config: ForegroundConfig, mask: NDArray[np.bool_]) -> Foreground:
    """Return the mask, or the whole image if the mask is empty or its area is not credible.

    Args:
        config: The credible area.
        mask: The object as a method found it, bool, shape (H, W).
    """
    found = float(mask.mean())
    if mask.all() or (mask.any() and config.area[0] <= found <= config.area[1]):
        return Foreground(mask, found, fell_back=False)
    return Foreground(np.ones_like(mask), found, fell_back=True)


def _by_median(config: ForegroundConfig, sample: Sequence[NDArray[np.float32]]) -> ObjectFinder:
    """Segment the median once for all images if parts lie alike, otherwise each image's difference to the median."""
    median = median_image(sample)
    still = threshold_cut(config.threshold, config.scene, config.tidy, median).mask

    def moving(image: NDArray[np.float32]) -> NDArray[np.bool_]:
        return tidied(config.tidy, unlike_median(config.scene, median, image))

    pictures = [(colours(image, config.scene.lightness), moving(image)) for image in sample]
    alike = sum(credibility(picture, still) for picture, _ in pictures)
    find = moving if sum(credibility(*pair) for pair in pictures) > alike else lambda _: still
    # The median tells nothing about an image of another size.
    return lambda image: find(image) if image.shape == median.shape else np.zeros(image.shape[:2], dtype=bool)
