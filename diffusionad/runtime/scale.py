"""The scale of the scores of a trained model, set by the normal images that calibrated its threshold."""

import math
from statistics import median

import torch
from pydantic import Field
from torch import Tensor

from diffusionad.section import Section

MIDDLE = 0.5
"""The threshold on the scale of all kinds."""

BELOW = MIDDLE - 2**-25
"""The largest float32 below the threshold: a score below it stays below it in every format."""

SMALLEST_UNIT = 0.01
"""In log-odds. Normal images that all score alike would make a unit of 0, and rounding errors of the networks, which
depend on the batch, would be seen in the score."""

EXTREME = 1e-300
"""Threshold and median are held this far from 0, and a rounding step from 1, where log-odds are infinite."""


class ScoreScale(Section):
    """The normal images behind the threshold of a model, as model.json holds them."""

    normal_scores: tuple[float, ...] = Field(
        min_length=1, description="raw scores, in [0, 1] and rising, of all normal images that calibrated the threshold"
    )
    # Defaults for versions that were registered before these were kept.
    false_alarm_rate: float | None = Field(default=None, description="the rate that was asked for; null: not kept")
    judged_by_copies: int | None = Field(
        default=None,
        description="images among them that were trained on and judged by copies of the model that did not learn from "
        "them; null: not kept",
    )

    def reported(self, raw: Tensor, threshold: float) -> Tensor:
        """Put raw scores on the scale that all kinds share: 0.5 at the threshold, 0.25 at the median normal image.

        With x, the distance to the threshold in log-odds, counted in distances between the threshold and the median
        of the normal scores, the score is 0.5 / (1 - x) below the threshold and 1 - 0.5 / (1 + x) from it on. It rises
        with the raw score and, unlike a sigmoid, keeps far scores apart.

        Args:
            raw: Raw scores in [0, 1], float64, of any shape.
            threshold: The threshold of raw scores.

        Returns:
            Scores in [0, 1], float64; at least 0.5 exactly where the raw score reaches the threshold.
        """
        marks = torch.tensor([threshold, median(self.normal_scores)], dtype=torch.float64)
        cut, normal = torch.logit(marks.clamp(EXTREME, math.nextafter(1, 0)))
        x = (torch.logit(raw) - cut) / max(float(cut - normal), SMALLEST_UNIT)
        score = torch.where(x < 0, MIDDLE / (1 - x), 1 - MIDDLE / (1 + x))
        return torch.where(raw >= threshold, score.clamp(min=MIDDLE), score.clamp(max=BELOW))

    def normals_above(self, raw: Tensor) -> Tensor:
        """Return the share of the normal images that score higher, float64, in the shape of `raw`."""
        normal = torch.tensor(self.normal_scores, dtype=torch.float64)
        return (len(normal) - torch.searchsorted(normal, raw, right=True)).double() / len(normal)
