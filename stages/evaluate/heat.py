"""Anomaly maps in colours that colour-blind people can read; the same for every picture of the project."""

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

HEAT = "cividis"  # readable for the colour-blind, and of even lightness


def colour_limit(threshold: float) -> float:
    """Return the map value that gets the last colour, such that the threshold lies at two thirds of the scale."""
    return max(min(1.0, 1.5 * threshold), 1e-6)


def heat_map(anomaly_map: NDArray[np.floating], threshold: float) -> NDArray[np.float32]:
    """Colour an anomaly map.

    Args:
        anomaly_map: Anomaly map in [0, 1], shape (H, W).
        threshold: Threshold of the raw image score.

    Returns:
        Colours in [0, 1], shape (H, W, 3).
    """
    return np.asarray(mpl.colormaps[HEAT](anomaly_map / colour_limit(threshold))[..., :3], dtype=np.float32)


def heat_layer(anomaly_map: NDArray[np.floating], threshold: float) -> NDArray[np.float32]:
    """Colour a map where it is near the threshold or above, and leave the rest transparent.

    Args:
        anomaly_map: Anomaly map in [0, 1], shape (H, W).
        threshold: Threshold of the raw image score, which is a mean of pixels: a pixel below 3/4 of it is not coloured.

    Returns:
        Colour and opacity in [0, 1], shape (H, W, 4).
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
        photograph: Photograph in [0, 1], shape (H, W, 3).
        anomaly_map: Anomaly map in [0, 1], shape (H, W).
        threshold: Threshold of the raw image score.

    Returns:
        Picture in [0, 1], shape (H, W, 3).
    """
    layer = heat_layer(anomaly_map, threshold)
    weight = layer[..., 3:]
    return np.asarray(photograph * (1 - weight) + layer[..., :3] * weight, dtype=np.float32)
