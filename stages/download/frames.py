"""The frame in which the shapes of a photograph were drawn: its own, a larger one, or one that EXIF has not turned."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from diffusionad.data.decode import MAX_PIXELS, TURNS
from diffusionad.data.masks import resize_mask
from stages.download.facts import ImageFacts
from stages.download.layouts.outlines import Line, Polygon, Shape, draw_outlines

QUARTER_TURNS = (5, 6, 7, 8)


class Frame(NamedTuple):
    """How a mask that was drawn becomes that of the photograph."""

    size: tuple[int, int]
    """(height, width) in which the shapes are drawn, px."""
    orientation: int = 1
    """EXIF orientation that turns the drawing as the photograph is turned; 1 if it is upright already."""
    is_scaled: bool = False
    """Whether the photograph was scaled after it had been annotated."""


def frame_of(fact: ImageFacts, stated: tuple[int, int] | None, shapes: Sequence[Shape]) -> Frame:
    """Find the frame of the shapes of a photograph.

    Args:
        fact: Size and EXIF orientation of the photograph.
        stated: (height, width) that the annotation states; None if it states none.
        shapes: What was drawn; of several frames, those that hold every corner are possible.

    Raises:
        ValueError: If the photograph has another shape than the annotation states, or more than one frame is possible.
    """
    upright = (fact.height, fact.width)
    stored = upright[::-1] if fact.orientation in QUARTER_TURNS else upright
    turns = [(upright, 1)] + ([(stored, fact.orientation)] if fact.orientation != 1 else [])
    frames = []
    for own, orientation in turns:
        if stated is None or stated == own:
            frames.append(Frame(own, orientation))
        elif _is_scaled(stated, own):
            frames.append(Frame(stated, orientation, is_scaled=True))
    if not frames:
        raise ValueError(
            f"its annotation states {stated and _named(stated)}, the photograph has {_named(upright)}; "
            "annotate the photograph itself, or put back the one that was annotated"
        )
    exact = [frame for frame in frames if not frame.is_scaled] or frames
    fitting = [frame for frame in exact if _holds(frame.size, shapes)] if len(exact) > 1 else exact
    if len(fitting) != 1 and shapes:
        raise ValueError(
            f"EXIF turns the photograph (orientation {fact.orientation}), and its annotation may be of the turned or "
            "of the stored picture; store it upright, without the EXIF entry, and check the annotation"
        )
    return (fitting or exact)[0]


def draw(shapes: Sequence[Shape], frame: Frame, size: tuple[int, int], line_width: float) -> NDArray[np.bool_]:
    """Draw the mask of a photograph, bool, shape `size`."""
    mask = draw_outlines(shapes, frame.size, line_width)
    if frame.orientation in TURNS:
        mask = np.asarray(Image.fromarray(mask).transpose(TURNS[frame.orientation]))
    return resize_mask(mask, size)


def _is_scaled(stated: tuple[int, int], own: tuple[int, int]) -> bool:
    """Whether one size is a multiple of the other, but for the rounding to whole pixels."""
    (height, width), (own_height, own_width) = stated, own
    if height == own_height or width == own_width or height * width > MAX_PIXELS:
        return False
    return abs(height * own_width / width - own_height) < 1 or abs(width * own_height / height - own_width) < 1


def _holds(size: tuple[int, int], shapes: Sequence[Shape]) -> bool:
    height, width = size
    return all(-1 <= x <= width + 1 and -1 <= y <= height + 1 for x, y in _points(shapes))


def _points(shapes: Sequence[Shape]) -> Iterator[tuple[float, float]]:
    for shape in shapes:
        match shape:
            case Polygon(points) | Line(points):
                yield from points
            case _:
                pass


def _named(size: tuple[int, int]) -> str:
    return f"{size[1]} x {size[0]} px"
