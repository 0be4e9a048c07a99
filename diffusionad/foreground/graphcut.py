"""The division of a picture into two sides at the lowest cost, by a minimum cut."""

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse import csgraph

SCALE = 100
"""Factor from costs to the integers of the graph: the smallest difference that counts is a hundredth."""
FORBIDDEN = 10**4
"""Cost of a forbidden side; the largest cost that a pixel can have."""

_NEIGHBOURS = (((0, 1), 1.0), ((1, 0), 1.0), ((1, 1), 2**0.5), ((1, -1), 2**0.5))
"""Half of the eight neighbours as (down, right), each with its distance."""


def min_cut(
    inside: NDArray[np.float64], outside: NDArray[np.float64], colours: NDArray[np.float64], smoothness: float
) -> NDArray[np.bool_]:
    """Divide a picture at the lowest total cost of pixels and separated neighbours (Boykov and Jolly, 2001).

    Separating two neighbours at distance r with the difference in colour d costs
    smoothness * exp(-d^2 / (2 mean(d^2))) / r.

    Args:
        inside: Cost of each pixel if it is inside, shape (H, W).
        outside: Cost of each pixel if it is outside, shape (H, W); only the difference of the two matters.
        colours: Colours of the picture, shape (H, W, 3).
        smoothness: Cost of separating two neighbours of the same colour.

    Returns:
        The pixels that are inside, bool, shape (H, W).
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
