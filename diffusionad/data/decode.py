"""Bytes of an image file -> pixels, in whatever form a camera or an editor wrote them."""

import io
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP", "GIF", "PPM")
"""What is read. Others are refused: Pillow starts Ghostscript for EPS, and a PDF is no photograph."""

MAX_PIXELS = 89_478_485
"""The bound of Pillow against decompression bombs; beyond it Pillow only warns, here it is an error."""

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation -> what makes the picture stand upright."""

# Pillow's decoders let the errors of their inner workings through.
BROKEN = (OSError, SyntaxError, ValueError, EOFError, IndexError, struct.error, zlib.error)


def read_bytes(path: Path) -> bytes:
    """Read a file.

    Raises:
        ValueError: If it does not exist, is a folder, or may not be read.
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
    """Read the header of an image; the pixels are decoded when asked for.

    Args:
        data: The whole file.
        name: What to call it in an error.

    Raises:
        ValueError: If it is empty, no image of a known format, too large, animated or of many pages.
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
    # MPO is what phones and stereo cameras write: a JPEG with a second picture behind it.
    if frames > 1 and image.format != "MPO":
        raise ValueError(f"{name}: animated or of many pages ({frames} frames); expected a single picture")
    return image


def orientation(image: Image.Image) -> int:
    """Return the EXIF orientation, 1 to 8, from what the header held.

    Call it before the pixels are loaded: for a PNG, `getexif` would decode them all to look behind them.
    """
    if image.format == "PNG" and "exif" not in image.info:
        return 1
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except BROKEN:
        return 1
    return value if value in TURNS else 1


def upright_size(image: Image.Image) -> tuple[int, int]:
    """Return (height, width) after the EXIF rotation."""
    swaps = orientation(image) >= 5  # noqa: PLR2004  # 5 to 8 turn by a quarter
    return (image.width, image.height) if swaps else (image.height, image.width)


def load(image: Image.Image, name: str) -> Image.Image:
    """Decode the pixels and turn them upright.

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
    """Return a deep grey image (16 or 32 bits) as float32 in [0, 1], shape (H, W); None if it is of 8 bits.

    16 bits are divided by 65535, always, so that two images keep their ratio of brightness: stretching each to
    its own range would hide a dark defect. A camera of 12 bits in 16 therefore looks dark.

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

    Grey is repeated, a palette resolved, CMYK converted, 16 bits scaled (`to_grey`). What is transparent is laid over
    black, on purpose: cut-outs of parts mostly stand on black, and transparent pixels often hold arbitrary colours.

    Args:
        image: Decoded and upright.
        name: What to call it in an error.

    Returns:
        float32 in [0, 1], shape (H, W, 3).

    Raises:
        ValueError: As to_grey.
    """
    grey = to_grey(image, name)
    if grey is not None:
        return np.repeat(grey[..., None], 3, axis=2)
    if image.has_transparency_data:
        rgba = np.asarray(image.convert("RGBA"), np.float32) / np.float32(255)
        return rgba[..., :3] * rgba[..., 3:]
    return np.asarray(image.convert("RGB"), np.float32) / np.float32(255)
