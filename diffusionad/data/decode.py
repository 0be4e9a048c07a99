"""Decode image files to pixels, whatever form a camera or an editor wrote them in."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM")
"""Formats that are read. Others are refused: Pillow starts Ghostscript for EPS, and a PDF is no photograph."""

MAX_PIXELS = 89_478_485
"""Pillow's limit against decompression bombs. Pillow only warns beyond it; here it is an error."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""The transposition that turns a picture upright, by EXIF orientation."""

# Pillow's decoders do not convert the errors of their internals.
BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)


def read_bytes(path: Path) -> bytes:
    """Read a file.

    Raises:
        ValueError: If the file does not exist, is a folder, or cannot be read for lack of permission.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file") from None
    except IsADirectoryError:
        raise ValueError(f"{path}: expected an image, got a folder") from None
    except PermissionError:
        raise ValueError(f"{path}: may not be read; give yourself the permission") from None


def open_image(data: bytes, name: str) -> Image.Image:
    """Read the header of an image; `load` decodes the pixels.

    Args:
        data: The bytes of the file.
        name: Name of the file, for errors.

    Raises:
        ValueError: If the file is empty, no image of a known format, too large, animated, or has several pages.
    """
    if not data:
        raise ValueError(f"{name}: the file is empty (0 bytes)")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        frames = getattr(image, "n_frames", 1)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise ValueError(f"{name}: more than {MAX_PIXELS} pixels; refused as a decompression bomb") from None
    except BROKEN:
        raise ValueError(f"{name}: not an image; expected one of {', '.join(FORMATS)}") from None
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"{name}: more than {MAX_PIXELS} pixels; refused as a decompression bomb")
    # Phones and stereo cameras write MPO: a JPEG with a second picture behind it.
    if frames > 1 and image.format != "MPO":
        raise ValueError(f"{name}: animated or of many pages ({frames} frames); expected a single picture")
    return image


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8, from the header; 1 if there is none.

    To be called before the pixels are loaded: for a PNG, `getexif` would decode all of them to search behind them.
    """
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except BROKEN:
        return 1
    return value if value in TURNS else 1


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return (height, width) in pixels after the EXIF rotation."""
    swaps = orientation(image) >= 5  # noqa: PLR2004  # 5 to 8 turn by a quarter
    return (image.width, image.height) if swaps else (image.height, image.width)


def load(image: Image.Image, name: str) -> Image.Image:
    """Decode the pixels and turn the image upright.

    Args:
        image: The result of `open_image`.
        name: Name of the file, for errors.

    Raises:
        ValueError: If the data are damaged or end too early.
    """
    turn = orientation(image)
    try:
        image.load()
    except BROKEN as error:
        raise ValueError(f"{name}: damaged or cut off: {error}") from None
    return image.transpose(TURNS[turn]) if turn in TURNS else image


def to_grey(image: Image.Image, name: str) -> NDArray[np.float32] | None:
    """Return a deep grey image (16 or 32 bits) as float32 in [0, 1], shape (H, W); None for an 8-bit image.

    16 bits are always divided by 65535, so that two images keep their ratio of brightness: stretching each image to its
    own range would hide a dark defect. Images with 12 bits stored in 16 therefore look dark.

    Args:
        image: Decoded and upright.
        name: Name of the file, for errors.

    Raises:
        ValueError: If a 32-bit image leaves [0, 65535], or a float image leaves [0, 1].
    """
    if not image.mode.startswith(("I", "F")):
        return None
    top = 1.0 if image.mode == "F" else 65535.0
    values = np.asarray(image, np.float32) / np.float32(top)
    if not (values.min() >= 0 and values.max() <= 1):
        raise ValueError(
            f"{name}: expected values in [0, {top:.0f}] for mode {image.mode}, "
            f"got {values.min() * top:g} to {values.max() * top:g}; convert it to 8 or 16 bits"
        )
    return values


def to_rgb(image: Image.Image, name: str) -> NDArray[np.float32]:
    """Return the pixels of a loaded image as RGB.

    Grey is repeated, palettes are resolved, CMYK is converted, 16 bits are scaled (`to_grey`). Transparent pixels are
    blended with black on purpose: cut-outs mostly stand on black, and their transparent pixels hold arbitrary colours.

    Args:
        image: Decoded and upright.
        name: Name of the file, for errors.

    Returns:
        float32 in [0, 1], shape (H, W, 3).

    Raises:
        ValueError: Same as `to_grey`.
    """
    grey = to_grey(image, name)
    if grey is not None:
        return np.repeat(grey[..., None], 3, axis=2)
    if image.has_transparency_data:
        rgba = np.asarray(image.convert("RGBA"), np.float32) / np.float32(255)
        return rgba[..., :3] * rgba[..., 3:]
    return np.asarray(image.convert("RGB"), np.float32) / np.float32(255)
