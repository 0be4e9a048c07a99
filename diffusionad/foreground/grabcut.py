"""GrabCut (Rother, Kolmogorov and Blake, 2004) with the picture's frame in place of the user's rectangle."""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from diffusionad.foreground.colours import colours, frame_mask, resized, shrunk
from diffusionad.foreground.graphcut import FORBIDDEN, min_cut
from diffusionad.foreground.mixture import energy, fit
from diffusionad.foreground.threshold import SceneConfig
from diffusionad.section import Section


class GrabCutConfig(Section):
    """Part `grabcut` of section `foreground`."""

    working_px: int = Field(
        ge=16, description="longer side of the picture that is segmented, px; time grows faster than area"
    )
    components: int = Field(ge=1, description="Gaussians of colour per side (object, background)")
    min_variance: float = Field(gt=0, description="added to each variance of colour")
    smoothness: float = Field(ge=0, description="gamma: cost of separating two neighbours of the same colour")
    rounds: int = Field(
        ge=1, description="largest number of rounds of mixture and cut; it stops when the cut no longer changes"
    )


def grabcut_mask(config: GrabCutConfig, scene: SceneConfig, image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Segment the part that differs from the frame in colour and is bounded by edges.

    The frame always counts as background, so an object that touches the edge of the picture loses its rim.

    Args:
        config: Settings of GrabCut.
        scene: Width of the frame, at the size of `image`, and weight of lightness.
        image: RGB in [0, 1], shape (H, W, 3).

    Returns:
        The object, shape (H, W); empty if the whole picture looks like its frame.
    """
    small = shrunk(image, config.working_px)
    picture = colours(small, scene.lightness)
    size = (small.shape[0], small.shape[1])
    border = frame_mask(size, max(1, round(scene.border_px * max(size) / max(image.shape[:2]))))
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
