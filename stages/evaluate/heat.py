"""Anomaly maps in colours that the colour-blind can read; the same for every picture of the project."""

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

HEAT = "cividis"  # readable for the colour-blind, and of even lightness


def colour_limit(threshold: float) -> float:
    """The value of an anomaly map that gets the last colour, so that the threshold lies at two thirds of the scale."""
    return max(min(1.0, 1.5 * threshold), 1e-6)


def heat_map(anomaly_map: NDArray[np.floating], threshold: float) -> NDArray[np.float32]:
    """Colour a map.

    Args:
        anomaly_map: (H, W), in [0, 1].
        threshold: Of the image score.

    Returns:
        (H, W, 3), in [0, 1].
    """
    return np.asarray(mpl.colormaps[HEAT](anomaly_map / colour_limit(threshold))[..., :3], dtype=np.float32)


def heat_layer(anomaly_map: NDArray[np.floating], threshold: float) -> NDArray[np.float32]:
    """Colour a map where it is near the threshold or above, and leave the rest transparent.

    Args:
        anomaly_map: (H, W), in [0, 1].
        threshold: Of the image score, which is a mean of pixels: a pixel below 3/4 of it is not coloured.

    Returns:
        (H, W, 4), colour and opacity in [0, 1].
    """
    strength = ((anomaly_map / max(threshold, 1e-6) - 0.75) / 0.75).clip(0, 1)
    layer = mpl.colormaps["autumn"](1 - strength)
    layer[..., 3] = strength**0.5 * 0.8
    return np.asarray(layer, dtype=np.float32)


def overlay(
    photograph: NDArray[np.float32], anomaly_map: NDArray[np.floating], threshold: float
) -> NDArray[np.float32]:
    """Lay `heat_layer` over a photograph.

    Args:
        photograph: (H, W, 3), in [0, 1].
        anomaly_map: (H, W), in [0, 1].
        threshold: Of the image score.

    Returns:
        (H, W, 3), in [0, 1].
    """
    layer = heat_layer(anomaly_map, threshold)
    weight = layer[..., 3:]
    return np.asarray(photograph * (1 - weight) + layer[..., :3] * weight, dtype=np.float32)
