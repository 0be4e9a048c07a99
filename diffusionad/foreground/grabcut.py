"""GrabCut (Rother, Kolmogorov and Blake, 2004) with the picture's frame in place of the user's rectangle."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from diffusionad.foreground.colours import colours, frame, resized, shrunk
from diffusionad.foreground.graphcut import FORBIDDEN, min_cut
from diffusionad.foreground.mixture import energy, fit
from diffusionad.foreground.threshold import SceneConfig
from diffusionad.section import Section


class GrabCutConfig(Section):
    """Part `grabcut` of section `foreground`."""

    working_px: int = Field(ge=16, description="longer side of the picture that is cut; time grows faster than area")
    components: int = Field(ge=1, description="Gaussians of colour for each side")
    min_variance: float = Field(gt=0, description="added to each variance of colour")
    smoothness: float = Field(ge=0, description="gamma: cost of parting two neighbours of one colour")
    rounds: int = Field(ge=1, description="mixture and cut in turn, at most; it stops when the cut stands still")


def grabcut_mask(config: GrabCutConfig, scene: SceneConfig, image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Cut out what differs from the frame, in colour and along edges.

    The frame is background for good; so an object that touches the edge of the picture loses its rim.

    Args:
        config: The numbers.
        scene: What is background, at the size of `image`.
        image: RGB in [0, 1], shape (H, W, 3).

    Returns:
        Shape (H, W); empty if all of the picture is like its frame.
    """
    small = shrunk(image, config.working_px)
    picture = colours(small, scene.lightness)
    size = (small.shape[0], small.shape[1])
    border = frame(size, max(1, round(scene.border_px * max(size) / max(image.shape[:2]))))
    mask = ~border
    for _ in range(config.rounds):
        if not mask.any():
            break
        before, mask = mask, _round(config, picture, border, mask)
        if (before == mask).all():
            break
    return resized(mask, (image.shape[0], image.shape[1]))


def _round(
    config: GrabCutConfig, picture: NDArray[np.float64], border: NDArray[np.bool_], mask: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    pixels = picture.reshape(-1, 3)
    inside, outside = (
        energy(fit(picture[side], config.components, config.min_variance), pixels).reshape(mask.shape)
        for side in (mask, ~mask)
    )
    inside[border] = outside[border] + FORBIDDEN
    return min_cut(inside, outside, picture, config.smoothness)
