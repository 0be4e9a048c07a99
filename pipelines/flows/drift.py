"""Whether the scores of a model have drifted from those that it was judged by."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp

from pipelines.flows.settings import DriftConfig


class Drift(NamedTuple):
    """The latest scores compared with those of the champion's normal test images."""

    images: int
    """Number of latest scores that were compared."""
    reference: int
    """Number of scores that they were compared with."""
    distance: float | None
    """Kolmogorov-Smirnov distance, in [0, 1]; None if there were too few images."""
    p_value: float | None
    """Probability of such a distance, or a larger one, without drift; None if there were too few images."""
    drifted: bool


def measure_drift(config: DriftConfig, scores: NDArray[np.float64], reference: NDArray[np.float64]) -> Drift:
    """Compare the latest scores with the reference, by the two-sample Kolmogorov-Smirnov test.

    Distance and p-value must both pass their bounds: with many images even a harmless distance is significant, with
    few even a large one may be chance. The reference holds normal images only, so a rise of true anomalies counts as
    drift too.

    Args:
        config: Part `drift`.
        scores: (N,), in [0, 1], oldest first.
        reference: (M,), scores of the normal test images.

    Example:
        >>> config = DriftConfig(window=100, min_images=50, distance=0.2, p_value=1e-3)
        >>> normal = np.linspace(0, 0.5, 200)
        >>> measure_drift(config, normal, normal).drifted
        False
        >>> measure_drift(config, normal + 0.2, normal).drifted
        True
        >>> measure_drift(config, normal[:49] + 0.2, normal).distance is None
        True
    """
    late = scores[-config.window :]
    if len(late) < config.min_images or len(reference) < config.min_images:
        return Drift(len(late), len(reference), None, None, drifted=False)
    test = ks_2samp(late, reference)
    distance, p_value = float(test.statistic), float(test.pvalue)
    drifted = distance >= config.distance and p_value <= config.p_value
    return Drift(len(late), len(reference), distance, p_value, drifted)
