"""Draw the outlines of defects as masks."""

from PIL import Image, ImageDraw

from stages.download.layouts.listing import Polygon


def draw_outlines(outlines: tuple[Polygon, ...], size: tuple[int, int]) -> Image.Image:
    """Draw filled polygons.

    Args:
        outlines: Polygons; parts outside the image are cut off.
        size: (height, width) of the image, px.

    Returns:
        The mask, mode L: 255 inside a polygon and on its edge, else 0.
    """
    height, width = size
    mask = Image.new("L", (width, height))
    for polygon in outlines:
        ImageDraw.Draw(mask).polygon(polygon, fill=255, outline=255)
    return mask
