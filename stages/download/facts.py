"""Facts about image and mask files, for the manifest and the contract. A damaged file is described, not refused."""

import hashlib
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile

from diffusionad.data.decode import load, open_image, orientation, to_grey, to_rgb, upright_size
from diffusionad.data.masks import read_marks
from stages.download.fingerprint import SIDE, fingerprint, thumbnail

PLAIN_MODES = ("L", "RGB", "CMYK", "YCbCr")
"""Modes that Pillow resizes directly; the others are converted to RGB first."""


class ImageFacts(NamedTuple):
    """Facts about an image file. Where `fault` is set, the rest may be empty."""

    sha256: str = ""
    """Digest of the bytes, 64 hexadecimal digits."""
    height: int = 0
    """In pixels, after the EXIF rotation."""
    width: int = 0
    """In pixels, after the EXIF rotation."""
    mode: str = ""
    """Pillow's name of the stored pixel format."""
    brightness: float | None = None
    """Mean grey value in [0, 1]; None where the pixels were not decoded."""
    fingerprint: str | None = None
    """Perceptual hash (`stages.download.fingerprint`); None where the pixels were not decoded."""
    orientation: int = 1
    """EXIF orientation; 1 if the pixels are stored upright."""
    fault: str | None = None
    """Why the file cannot be used, without its name."""


class MaskFacts(NamedTuple):
    """Facts about a mask file. Where `fault` is set, the rest may be empty."""

    sha256: str = ""
    """Digest of the bytes, 64 hexadecimal digits."""
    height: int = 0
    """In pixels, after the EXIF rotation."""
    width: int = 0
    """In pixels, after the EXIF rotation."""
    area: float = 0.0
    """Share of positive pixels, in [0, 1]."""
    soft: float = 0.0
    """Share of pixels that are neither marked nor free, in [0, 1]."""
    fault: str | None = None
    """Why the file cannot be used, without its name."""


def image_facts(data: bytes) -> ImageFacts:
    """Describe an image file, given its bytes, by its header, and check that it is whole; no pixel is decoded."""
    try:
        image = open_image(data, "")
        turn = orientation(image)
        facts = ImageFacts(hashlib.sha256(data).hexdigest(), *upright_size(image), image.mode, orientation=turn)
        _check_whole(data, image)
    except ValueError as error:
        return ImageFacts(fault=_bare(error))
    return facts


def pixel_facts(facts: ImageFacts, data: bytes) -> ImageFacts:
    """Add brightness and fingerprint to the `image_facts` of the same bytes, or a fault if the pixels are damaged."""
    try:
        thumb = thumbnail(_small(open_image(data, "")))
    except ValueError as error:
        return ImageFacts(fault=_bare(error))
    return facts._replace(brightness=round(float(thumb.mean()), 4), fingerprint=fingerprint(thumb))


def mask_facts(data: bytes) -> MaskFacts:
    """Describe a mask file, given its bytes, by its pixels."""
    try:
        mask, soft = read_marks(load(open_image(data, ""), ""), "")
    except ValueError as error:
        return MaskFacts(fault=_bare(error))
    height, width = mask.shape
    return MaskFacts(hashlib.sha256(data).hexdigest(), height, width, float(mask.mean()), soft)


def _small(image: Image.Image) -> Image.Image:
    # This decodes a JPEG at as little as an eighth of its size, in a quarter of the time.
    image.draft("L" if image.mode in ("L", "YCbCr", "RGB") else None, (SIDE, SIDE))
    image = load(image, "")
    if image.mode in PLAIN_MODES and not image.has_transparency_data:
        return image
    grey = to_grey(image, "")
    values = to_rgb(image, "") if grey is None else grey
    return Image.fromarray(np.rint(values * 255).astype(np.uint8))


def _check_whole(data: bytes, image: Image.Image) -> None:
    if image.format in ("JPEG", "MPO"):
        # Behind the header, FF is always followed by 00, a restart or a marker: an end marker there is a true one.
        header = image.fp.tell() if isinstance(image, ImageFile.ImageFile) and image.fp else 0
        if data.rfind(b"\xff\xd9", header) < 0:
            raise ValueError("damaged or cut off: no end of image")
    elif image.format == "PNG":
        try:
            image.verify()  # the checksums of its chunks
        except (OSError, SyntaxError) as error:
            raise ValueError(f"damaged or cut off: {error}") from None
    else:
        load(image, "")


def _bare(error: ValueError) -> str:
    return str(error).removeprefix(": ")
