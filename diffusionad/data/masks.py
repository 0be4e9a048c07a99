"""Convert masks from the formats of annotators to booleans, and resize them without losing a defect."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from diffusionad.data.decode import to_grey

MAX_LABELS = 16
"""Largest number of positive values in a lossless mask of class numbers; one with more has soft edges."""

EIGHT_CONNECTED = np.ones((3, 3), dtype=bool)


def to_mask(image: Image.Image, name: str) -> NDArray[np.bool_]:
    """Return where a loaded mask marks a defect.

    Masks come as 0 and 255, as class numbers (VisA, KolektorSDD), with soft edges (magnetic tile), as colours of a
    palette or as a drawing on a transparent ground. If transparency varies, opaque pixels are the defect. Otherwise
    black is background and anything above it a defect; soft edges and JPEG noise are cut at half of the largest value.

    Args:
        image: Decoded and upright.
        name: Name of the file, for errors.

    Returns:
        bool, shape (H, W).

    Raises:
        ValueError: If a mask of 16 or 32 bits leaves its range (`to_grey`).
    """
    return read_marks(image, name).mask


class Marks(NamedTuple):
    """What a mask marks, and how clearly."""

    mask: NDArray[np.bool_]
    """Where the defect is, shape (H, W)."""
    soft: float
    """Share of pixels between a tenth and nine tenths of the largest value, in [0, 1]: small for soft edges and for the
    noise of JPEG, large for a photograph in place of a mask. Class numbers count as marked."""


def read_marks(image: Image.Image, name: str) -> Marks:
    """Return `to_mask` of a loaded mask, and how clear it is.

    Args:
        image: Decoded and upright.
        name: Name of the file, for errors.

    Raises:
        ValueError: Same as `to_mask`.
    """
    levels = _levels(image, name)
    positive = np.unique(levels[levels > 0])
    has_classes = len(positive) <= MAX_LABELS
    if len(positive) == 0 or (has_classes and image.format != "JPEG"):
        return Marks(levels > 0, 0.0)
    top = positive[-1]
    soft = 0.0 if has_classes else float(((levels > 0.1 * top) & (levels < 0.9 * top)).mean())  # as said
    return Marks(levels > top / 2, soft)


def resize_mask(mask: NDArray[np.bool_], size: tuple[int, int]) -> NDArray[np.bool_]:
    """Resize a mask without losing a defect.

    A pixel is positive if at least half of its area is. A connected component that would vanish by this rule (a dot, a
    scratch of one pixel) is kept in the pixels that it covers at least half as much as the one that it covers most.

    Args:
        mask: bool, shape (H, W).
        size: (height, width) in pixels.

    Returns:
        bool, shape `size`; empty only if `mask` is.

    Deviation: the authors' code resizes linearly and truncates, which loses four of five dots of 4 pixels at a quarter
    of the size.
    """
    if mask.shape == size:
        return mask.copy()
    height, width = size
    coverage = Image.fromarray(mask.astype(np.float32)).resize((width, height), Image.Resampling.BOX)
    resized = np.asarray(coverage) >= 0.5  # noqa: PLR2004  # half of the area
    components, count = ndimage.label(mask, structure=EIGHT_CONNECTED)
    if count:
        _keep_vanished(components, count, resized)
    return resized


def _keep_vanished(components: NDArray[np.int32], count: int, resized: NDArray[np.bool_]) -> None:
    rows, columns = np.nonzero(components)
    ids = components[rows, columns].astype(np.int64)
    height, width = resized.shape
    # The target pixel in which the centre of each source pixel lies.
    targets = (2 * rows + 1) * height // (2 * components.shape[0]) * width
    targets += (2 * columns + 1) * width // (2 * components.shape[1])
    seen = np.zeros(count + 1, dtype=bool)
    seen[ids[resized.ravel()[targets]]] = True
    lost = ~seen[ids]
    keys, covered = np.unique(ids[lost] * (height * width) + targets[lost], return_counts=True)
    owners, places = np.divmod(keys, height * width)
    best = np.zeros(count + 1, dtype=np.int64)
    np.maximum.at(best, owners, covered)
    resized.flat[places[2 * covered >= best[owners]]] = True


def _levels(image: Image.Image, name: str) -> NDArray[np.float32]:
    grey = to_grey(image, name)
    if grey is not None:
        return grey
    if image.has_transparency_data:
        alpha = np.asarray(image.convert("RGBA").getchannel("A"))
        if alpha.min() < alpha.max():
            return np.where(alpha > 127, np.float32(1), np.float32(0))  # noqa: PLR2004  # half
    if image.mode == "P":
        colours: NDArray[np.float32] = np.asarray(image.convert("RGB"), np.float32).max(axis=2)
        # A palette may be missing or all black; then its indices are the class numbers.
        return colours if colours.any() else np.asarray(image, np.float32)
    if image.mode in ("1", "L"):
        return np.asarray(image, np.float32)
    brightest: NDArray[np.float32] = np.asarray(image.convert("RGB"), np.float32).max(axis=2)
    return brightest
