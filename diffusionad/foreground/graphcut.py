"""The cheapest division of a picture into two sides, by a minimum cut."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

SCALE = 100
"""Costs are cut in integers, so a hundredth is the smallest difference that counts."""
FORBIDDEN = 10**4
"""Cost of what must not be; the largest that any pixel can have."""

_NEIGHBOURS = (((0, 1), 1.0), ((1, 0), 1.0), ((1, 1), 2**0.5), ((1, -1), 2**0.5))
"""Half of the eight, each with its distance."""


def min_cut(
    inside: NDArray[np.float64], outside: NDArray[np.float64], colours: NDArray[np.float64], smoothness: float
) -> NDArray[np.bool_]:
    """Divide a picture so that the sum over pixels and over parted neighbours is least (Boykov and Jolly, 2001).

    Parting two neighbours costs smoothness * exp(-d^2 / 2 mean(d^2)) / their distance, d their difference in colour.

    Args:
        inside: Cost of a pixel's being inside, shape (H, W).
        outside: Cost of its being outside, shape (H, W); only the difference of the two matters.
        colours: Shape (H, W, 3).
        smoothness: Cost of parting two neighbours of one colour.

    Returns:
        The inside, shape (H, W).
    """
    height, width = inside.shape
    count = height * width
    pixels = np.arange(count)
    source, sink = np.full(count, count), np.full(count, count + 1)
    least = np.minimum(inside, outside)
    one, other, cost = _links(colours, smoothness)
    rows = np.concatenate([source, pixels, one, other])
    columns = np.concatenate([pixels, sink, other, one])
    costs = np.concatenate([(outside - least).ravel(), (inside - least).ravel(), cost, cost])
    capacity = np.round(np.minimum(costs, FORBIDDEN) * SCALE).astype(np.int32)
    graph = sparse.csr_array((capacity, (rows, columns)), shape=(count + 2, count + 2))
    graph.eliminate_zeros()
    residual = (graph - csgraph.maximum_flow(graph, count, count + 1).flow).maximum(0)
    reached = csgraph.breadth_first_order(sparse.csr_array(residual), count, return_predecessors=False)
    mask = np.zeros(count + 2, dtype=bool)
    mask[reached] = True
    return mask[:count].reshape(height, width)


def _links(
    colours: NDArray[np.float64], smoothness: float
) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float64]]:
    """Return the pixels at both ends of each link between neighbours, and its cost."""
    height, width = colours.shape[:2]
    index = np.arange(height * width).reshape(height, width)
    ends, spans = [], []
    for (down, right), span in _NEIGHBOURS:
        here = index[: height - down, max(0, -right) : width - max(0, right)].ravel()
        ends.append(np.stack([here, here + down * width + right]))
        spans.append(np.full(here.size, span))
    one, other = np.concatenate(ends, axis=1)
    flat = colours.reshape(-1, 3)
    squares = ((flat[one] - flat[other]) ** 2).sum(axis=1)
    likeness = np.exp(-squares / (2 * squares.mean())) if squares.any() else np.ones(squares.size)
    return one, other, smoothness * likeness / np.concatenate(spans)
