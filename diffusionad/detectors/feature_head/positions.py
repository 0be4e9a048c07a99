"""Positions of feature maps to learn from, drawn once from all images."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F  # noqa: N812  # the name that torch's own documentation uses
from torch import Tensor

from diffusionad.detectors.shared.frozen import Cache, Features, take

READ_AT_ONCE = 16


class Rows(NamedTuple):
    """Features of positions of one sort."""

    values: Tensor
    """(N, D), float32."""
    sources: Tensor
    """Place of the normal image that each comes from, (N,)."""
    kept: Tensor
    """Indices of those that may be drawn, (K,)."""

    def without(self, left_out: Tensor) -> "Rows":
        """The same positions, of which those of the images at some places, (K,), may not be drawn."""
        return self._replace(kept=(~torch.isin(self.sources, left_out.to(self.sources.device))).nonzero()[:, 0])

    def draw(self, count: int) -> Tensor:
        """Draw positions by the global generator, (count, D); none if there are none."""
        if not len(self.kept):
            return self.values[:0]
        chosen = torch.randint(len(self.kept), (count,), device=self.kept.device)
        return self.values.index_select(0, self.kept[chosen])


class Sample(NamedTuple):
    """Positions of all images; those that an anomaly covers in part are left out."""

    normal: Rows
    """Positions of normal images."""
    inside: Rows
    """Positions of synthetic anomalies."""
    outside: Rows
    """Positions around them, in the same images."""


@torch.no_grad()
def gather(
    join: Callable[[Features], Tensor], cache: Cache, counts: tuple[int, int], generator: torch.Generator
) -> Sample:
    """Draw positions of all images of a cache, in equal parts.

    Args:
        join: Features of each position, (B, D, h, w).
        cache: Features of the images.
        counts: Positions of normal images; positions inside synthetic anomalies, and as many outside.
        generator: Source of randomness.
    """
    found: dict[str, list[tuple[Tensor, Tensor]]] = {name: [] for name in Sample._fields}

    def keep(name: str, rows: Tensor, count: int, source: Tensor) -> None:
        drawn = rows[torch.randperm(len(rows), generator=generator)[:count].to(rows.device)]
        found[name].append((drawn, source.expand(len(drawn))))

    share = max(1, counts[0] // max(1, len(cache.folds)))
    for places in torch.split(torch.arange(len(cache.folds)), READ_AT_ONCE):
        maps = join(take(cache.normal, places))
        for place, rows in zip(places, maps.flatten(2).transpose(1, 2), strict=True):
            keep("normal", rows, share, place)
    share = max(1, counts[1] // max(1, len(cache.sources)))
    for places in torch.split(torch.arange(len(cache.sources)), READ_AT_ONCE):
        maps = join(take(cache.anomalous, places))
        covered = F.adaptive_avg_pool2d(cache.masks[places].float(), (maps.shape[2], maps.shape[3])).flatten(1)
        for place, rows, part in zip(places, maps.flatten(2).transpose(1, 2), covered, strict=True):
            keep("inside", rows[part > 0.5], share, cache.sources[place])  # noqa: PLR2004  # most of it
            keep("outside", rows[part == 0], share, cache.sources[place])
    return Sample(**{name: _joined(parts) for name, parts in found.items()})


def _joined(parts: list[tuple[Tensor, Tensor]]) -> Rows:
    values = torch.cat([rows for rows, _ in parts])
    sources = torch.cat([sources for _, sources in parts]).to(values.device)
    return Rows(values, sources, torch.arange(len(values), device=values.device))
