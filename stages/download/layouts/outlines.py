"""Shapes that annotators draw, and their masks."""

import itertools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from diffusionad.data.decode import load, open_image
from diffusionad.data.masks import to_mask

Point = tuple[float, float]
"""(x, y) in pixels from the top left corner of the image: the centre of the first pixel is (0.5, 0.5)."""

UPSAMPLED = 5
"""pycocotools rounds corners to a fifth of a pixel."""
FARTHEST = 1e5
"""Largest distance of a corner from the top left, in pixels; a corner beyond it is a mistake."""
CIRCLE_CORNERS = 64
NAME = "the mask of a shape"
"""What errors call a stamp."""


class Polygon(NamedTuple):
    """An area within corners."""

    corners: tuple[Point, ...]


class Line(NamedTuple):
    """A line through points, whose width is a setting."""

    points: tuple[Point, ...]


class Runs(NamedTuple):
    """A mask of COCO: lengths of alternate runs of background and object, down the columns of an image."""

    size: tuple[int, int]
    """(height, width)."""
    counts: tuple[int, ...]


class Stamp(NamedTuple):
    """A small mask at a place in the image."""

    left: int
    top: int
    png: bytes


Shape = Polygon | Line | Runs | Stamp


def checked(points: Sequence[Sequence[float]], least: int) -> tuple[Point, ...]:
    """Return points as pairs of numbers.

    Raises:
        ValueError: If there are fewer than `least`, or one is not a pair of finite numbers near the image.
        TypeError: If they are no numbers.
    """
    pairs = tuple((float(x), float(y)) for x, y in points)
    if len(pairs) < least:
        raise ValueError(f"{len(pairs)} points mark no area; expected at least {least}")
    for x, y in pairs:
        if not (abs(x) <= FARTHEST and abs(y) <= FARTHEST):
            raise ValueError(f"a point at ({x:g}, {y:g}) lies outside of any image")
    return pairs


def box(x: float, y: float, width: float, height: float) -> Polygon:
    """The rectangle from (x, y) to (x + width, y + height)."""
    return Polygon(checked([(x, y), (x + width, y), (x + width, y + height), (x, y + height)], 4))


def circle(centre: Point, rim: Point) -> Polygon:
    """The circle around a centre through a point of its rim."""
    return Polygon(_disc(*checked([centre, rim], 2)))


def draw_outlines(outlines: Sequence[Shape], size: tuple[int, int], line_width: float) -> NDArray[np.bool_]:
    """Draw shapes as a mask.

    Args:
        outlines: Shapes; parts outside the image are cut off.
        size: (height, width) of the image, px.
        line_width: Width of lines, px.

    Returns:
        bool, shape `size`: whether a pixel belongs to a shape.

    Raises:
        ValueError: If a mask among them cannot be read or is of another size.
    """
    mask = np.zeros(size, dtype=bool)
    for shape in outlines:
        match shape:
            case Polygon(corners):
                mask |= fill(corners, size)
            case Line(points):
                for corners in _stroke(points, line_width):
                    mask |= fill(corners, size)
            case Runs():
                mask |= _unrolled(shape, size)
            case Stamp():
                _stamp(mask, shape)
    return mask


def fill(corners: Sequence[Point], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Fill a polygon by the rule of pycocotools (`rleFrPoly` of its maskApi.c), pixel by pixel the same.

    Corners are rounded to a fifth of a pixel. Where the outline crosses the centre line of a column of pixels, it is
    rounded up to a pixel, and a pixel is inside if the number of crossings above it is odd.

    Args:
        corners: (x, y) in pixels.
        size: (height, width), px.

    Returns:
        bool, shape `size`.
    """
    height, width = size
    fine = np.trunc(UPSAMPLED * np.asarray(corners, np.float64) + 0.5).astype(np.int64)
    edges = [_edge(*start, *end) for start, end in zip(fine, np.roll(fine, -1, axis=0), strict=True)]
    u, v = np.concatenate(edges, axis=1)
    moved = np.flatnonzero(u[1:] != u[:-1]) + 1
    u_0, u_1, v_0, v_1 = u[moved - 1], u[moved], v[moved - 1], v[moved]
    x = (np.where(u_1 < u_0, u_1, u_1 - 1) + 0.5) / UPSAMPLED - 0.5
    y = np.ceil(np.clip((np.where(v_1 < v_0, v_1, v_0) + 0.5) / UPSAMPLED - 0.5, 0, height))
    crosses = (np.floor(x) == x) & (x >= 0) & (x <= width - 1)
    places = x[crosses].astype(np.int64) * height + y[crosses].astype(np.int64)
    crossings = np.bincount(places, minlength=height * width + 1)[: height * width]
    inside: NDArray[np.bool_] = np.cumsum(crossings) % 2 == 1
    return inside.reshape(width, height).T


def _edge(x_0: int, y_0: int, x_1: int, y_1: int) -> NDArray[np.int64]:
    """The points of an edge, one for each step along its longer side, (2, N)."""
    across, down = abs(x_1 - x_0), abs(y_1 - y_0)
    if down > across:
        return _edge(y_0, x_0, y_1, x_1)[::-1]
    steps = np.arange(across + 1)
    flips = x_0 > x_1
    start, origin, slope = (x_1, y_1, y_0 - y_1) if flips else (x_0, y_0, y_1 - y_0)
    steps = steps[::-1] if flips else steps
    share = slope / across if across else 0.0
    return np.stack([start + steps, np.trunc(origin + share * steps + 0.5).astype(np.int64)])


def _stroke(points: Sequence[Point], width: float) -> list[tuple[Point, ...]]:
    """The areas of a line: a rectangle for each part, and a disc where two parts meet."""
    areas = [_disc(point, (point[0] + width / 2, point[1])) for point in points]
    for (x_0, y_0), (x_1, y_1) in itertools.pairwise(points):
        if length := math.hypot(x_1 - x_0, y_1 - y_0):
            a, b = (y_1 - y_0) / length * width / 2, (x_1 - x_0) / length * width / 2
            areas.append(((x_0 + a, y_0 - b), (x_1 + a, y_1 - b), (x_1 - a, y_1 + b), (x_0 - a, y_0 + b)))
    return areas


def _disc(centre: Point, rim: Point) -> tuple[Point, ...]:
    radius = math.hypot(rim[0] - centre[0], rim[1] - centre[1])
    angles = [2 * math.pi * k / CIRCLE_CORNERS for k in range(CIRCLE_CORNERS)]
    return tuple((centre[0] + radius * math.cos(a), centre[1] + radius * math.sin(a)) for a in angles)


def _unrolled(runs: Runs, size: tuple[int, int]) -> NDArray[np.bool_]:
    if runs.size != size:
        height, width = runs.size
        raise ValueError(f"a mask of run lengths for {width} x {height} px in an image of {size[1]} x {size[0]} px")
    values = np.repeat(np.arange(len(runs.counts)) % 2 == 1, runs.counts)
    return values.reshape(size[1], size[0]).T


def _stamp(mask: NDArray[np.bool_], stamp: Stamp) -> None:
    pixels = to_mask(load(open_image(stamp.png, NAME), NAME), NAME)
    height, width = mask.shape
    top, left = max(0, stamp.top), max(0, stamp.left)
    bottom, right = stamp.top + pixels.shape[0], stamp.left + pixels.shape[1]
    if bottom > 0 and right > 0:
        shown = pixels[top - stamp.top : height - stamp.top, left - stamp.left : width - stamp.left]
        mask[top : top + shown.shape[0], left : left + shown.shape[1]] |= shown
