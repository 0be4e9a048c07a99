"""The area under the per-region-overlap curve (PRO; Bergmann et al., MVTec AD, IJCV 2021), exactly.

The overlap of a region is the share of its pixels that a threshold flags. PRO is the mean overlap of all regions of
the test set, all with the same weight whatever their size, as a function of the false positive rate of all normal
pixels, those of normal images included. Regions are 8-connected. Between two scores the curve is a straight line.

The curve is linear in its regions, so its area is a weighted Mann-Whitney statistic and needs no curve. A step that
lifts PRO by w/K while the false positive rate goes from a to b adds w/K times the area to its right, up to the limit L:

    g = L - (a + b) / 2             if b <= L
      = (L - a)^2 / (2 (b - a))     if a < L < b
      = 0                           if a >= L
"""

import numpy as np

from diffusionad.metrics.sweep import Floats, Sweep, ratio


def pro(steps: Sweep, fpr_limit: float) -> Floats:
    """Compute the area under the PRO curve from false positive rate 0 to fpr_limit, divided by fpr_limit.

    Deviation: the authors of DiffusionAD sample 1000 equidistant thresholds, divide by the largest rate below the
    limit that these happen to reach, and fill the holes of a region without counting them in its size. That figure
    changes under a monotone change of the scores and can exceed 1, so the two are not comparable.

    Args:
        steps: The ranked pixels of the test set; leading axes, if any, are resamples.
        fpr_limit: L, in (0, 1]; usually 0.3.

    Returns:
        Figures in [0, 1], shape (...); NaN for a resample without regions.

    Raises:
        ValueError: If fpr_limit is outside (0, 1].
    """
    if not 0 < fpr_limit <= 1:
        raise ValueError(f"expected fpr_limit in (0, 1], got {fpr_limit}")
    before = ratio(steps.false_before, steps.normals)  # a
    after = ratio(steps.false_after, steps.normals)  # b
    whole = fpr_limit - (before + after) / 2
    width = np.where(after > before, after - before, 1)
    cut = np.maximum(fpr_limit - before, 0) ** 2 / (2 * width)
    area = (steps.weights * np.where(after <= fpr_limit, whole, cut)).sum(axis=-1)
    return np.minimum(ratio(area, steps.regions[..., 0] * fpr_limit), 1)  # a perfect map may round to 1 + 2e-16
