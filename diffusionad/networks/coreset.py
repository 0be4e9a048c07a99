"""A few points that cover many (PatchCore, arXiv:2106.08265, algorithm 1)."""

import torch
from torch import Tensor


def farthest(points: Tensor, count: int) -> Tensor:
    """Indices, shape (count,), of points (N, D), each the farthest from those before it; the first is point 0."""
    chosen = [0]
    nearest = (points - points[0]).square().sum(dim=1)
    squares = points.square().sum(dim=1)
    for _ in range(count - 1):
        index = int(nearest.argmax())
        chosen.append(index)
        nearest = torch.minimum(nearest, squares + squares[index] - 2 * (points @ points[index]))
    return torch.tensor(chosen)
