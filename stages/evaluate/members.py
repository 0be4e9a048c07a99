"""What each member of an ensemble is worth: figures of the member alone, and of the ensemble without it."""

from collections.abc import Mapping
from itertools import islice

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from diffusionad.base import Output, image_score
from diffusionad.detector import Detector
from diffusionad.evaluation.tally import Tally, merge, sweep_tally, tally
from diffusionad.metrics.pro import pro
from diffusionad.metrics.ranking import image_auroc
from diffusionad.metrics.sweep import average_precision
from stages.common.schemas import part_key
from stages.evaluate.figures import Figures
from stages.evaluate.truth import Truth


class MemberFigures:
    """Scores and counts the maps of members as the images pass; no map is kept, so memory does not grow with them.

    The map of the ensemble without a member is the mean of the others' logits with their weights, of which the sum is 1
    again. It is scored as the detector scores its own map.

    Args:
        detector: The detector; without members, there are no figures.
        truth: Ground truth of the test images.
    """

    def __init__(self, detector: Detector, truth: Truth) -> None:
        self._members, self._truth = detector.members, truth
        self._top_k_fraction = detector.config.model.top_k_fraction
        self._parts = weights_of_parts(detector.members)
        self._masks = truth.read_masks(detector.config.image_size)
        self._scores: dict[str, list[NDArray[np.float64]]] = {}
        self._counts: dict[str, Tally] = {}

    def add_images(self, first: int, member_logits: Tensor | None) -> None:
        """Add the next test images.

        Args:
            first: Index of the first of them.
            member_logits: Maps of the members, shape (B, M, H, W); None adds nothing.
        """
        if member_logits is None:
            return
        for part, weights in self._parts.items():
            score = image_score(Output(_mean(member_logits, weights)), self._top_k_fraction)
            self._scores.setdefault(part, []).append(score.numpy())
        known = [place for place in range(len(member_logits)) if first + place in self._truth.masks]
        self.add_pixels(member_logits[known])

    def add_pixels(self, member_logits: Tensor | None) -> None:
        """Add the next images whose masks are known; those of the synthetic test set are added by this alone.

        Args:
            member_logits: Maps of the members, shape (B, M, H, W); None adds nothing.
        """
        if member_logits is None:
            return
        masks = list(islice(self._masks, len(member_logits)))
        for part, weights in self._parts.items():
            fresh = tally(_mean(member_logits, weights).numpy(), masks)
            self._counts[part] = merge(self._counts[part], fresh) if part in self._counts else fresh

    def figures(self, fpr_limit: float) -> Figures:
        """Compute weight, image AUROC, PRO and pixel AP of each member, and the three of the ensemble without it.

        Args:
            fpr_limit: Largest false positive rate of the PRO curve, in (0, 1].

        Returns:
            Figures by `part_key`, without intervals; None where one cannot be computed. Empty if no maps were added.
        """
        figures: Figures = {}
        if self._scores:
            figures |= {f"member_{name}_weight": weight for name, weight in self._members.items()}
        for part, scores in self._scores.items():
            found = _image_figures(self._truth.labels, np.concatenate(scores))
            found |= _pixel_figures(self._truth.prefix, self._counts.get(part), fpr_limit)
            figures |= {part_key(part, name): value for name, value in found.items()}
        return figures


def weights_of_parts(weights: Mapping[str, float]) -> dict[str, Tensor]:
    """Return the weights of the M members in each part: `member_NAME` alone, and `without_NAME`, the others.

    Args:
        weights: Weights of the members by name, with sum 1.

    Returns:
        Weights with sum 1 by part, shape (M,) each; a single member has no part without it.

    Example:
        >>> weights_of_parts({"a": 0.5, "b": 0.375, "c": 0.125})["without_a"]
        tensor([0.0000, 0.7500, 0.2500])
    """
    whole, single = torch.tensor(list(weights.values())), torch.eye(len(weights))
    parts = {f"member_{name}": alone for name, alone in zip(weights, single, strict=True)}
    if len(weights) > 1:
        others = whole * (1 - single)
        parts |= {f"without_{name}": rest / rest.sum() for name, rest in zip(weights, others, strict=True)}
    return parts


def _mean(member_logits: Tensor, weights: Tensor) -> Tensor:
    """Mean of maps (B, M, H, W) with weights (M,): (B, H, W)."""
    return (member_logits * weights[:, None, None]).sum(dim=1)


def _image_figures(labels: NDArray[np.int64], scores: NDArray[np.float64]) -> Figures:
    return {"image_auroc": image_auroc(labels, scores) if 0 < labels.sum() < len(labels) else None}


def _pixel_figures(prefix: str, counts: Tally | None, fpr_limit: float) -> Figures:
    figures: Figures = {f"{prefix}pixel_pro": None, f"{prefix}pixel_ap": None}
    if counts is not None and counts.normal.any() and counts.hits.any():
        steps = sweep_tally(counts)
        figures = dict(zip(figures, (float(pro(steps, fpr_limit)), float(average_precision(steps))), strict=True))
    return figures
