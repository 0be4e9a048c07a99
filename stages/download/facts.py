"""What a file is, for the manifest and its contract. A file that is broken is described, not refused: all at once."""

import hashlib
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageFile

from diffusionad.data.decode import load, open_image, to_grey, to_rgb, upright_size
from diffusionad.data.masks import to_mask
from stages.download.fingerprint import SIDE, fingerprint, thumbnail

PLAIN_MODES = ("L", "RGB", "CMYK", "YCbCr")
"""Modes that Pillow resizes as they are; the others are brought to RGB first."""


class ImageFacts(NamedTuple):
    """An image file. Where `fault` is set, the rest may be empty."""

    sha256: str = ""
    height: int = 0
    """In pixels, after the EXIF rotation."""
    width: int = 0
    mode: str = ""
    """Pillow's name of the stored pixel format."""
    brightness: float | None = None
    """Mean grey value in [0, 1]."""
    fingerprint: str | None = None
    fault: str | None = None
    """Why it cannot be used, without its name."""


class MaskFacts(NamedTuple):
    """A mask file. Where `fault` is set, the rest may be empty."""

    sha256: str = ""
    height: int = 0
    width: int = 0
    area: float = 0.0
    """Share of positive pixels, in [0, 1]."""
    fault: str | None = None


def image_facts(data: bytes) -> ImageFacts:
    """Describe the bytes of an image file by its header, and whether it is whole; the pixels are not decoded."""
    try:
        image = open_image(data, "")
        facts = ImageFacts(hashlib.sha256(data).hexdigest(), *upright_size(image), mode=image.mode)
        _check_whole(data, image)
    except ValueError as error:
        return ImageFacts(fault=_bare(error))
    return facts


def pixel_facts(facts: ImageFacts, data: bytes) -> ImageFacts:
    """Add to `image_facts` of the same bytes what the pixels tell, or how they are damaged."""
    try:
        thumb = thumbnail(_small(open_image(data, "")))
    except ValueError as error:
        return ImageFacts(fault=_bare(error))
    return facts._replace(brightness=round(float(thumb.mean()), 4), fingerprint=fingerprint(thumb))


def mask_facts(data: bytes) -> MaskFacts:
    """Describe the bytes of a mask file, from its pixels."""
    try:
        mask = to_mask(load(open_image(data, ""), ""), "")
    except ValueError as error:
        return MaskFacts(fault=_bare(error))
    height, width = mask.shape
    return MaskFacts(hashlib.sha256(data).hexdigest(), height, width, float(mask.mean()))


def _small(image: Image.Image) -> Image.Image:
    # A JPEG is decoded at down to an eighth of its size, in a quarter of the time.
    image.draft("L" if image.mode in ("L", "YCbCr", "RGB") else None, (SIDE, SIDE))
    image = load(image, "")
    if image.mode in PLAIN_MODES and not image.has_transparency_data:
        return image
    grey = to_grey(image, "")
    values = to_rgb(image, "") if grey is None else grey
    return Image.fromarray(np.rint(values * 255).astype(np.uint8))


def _check_whole(data: bytes, image: Image.Image) -> None:
    if image.format in ("JPEG", "MPO"):
        # Behind the header, FF is always followed by 00, a restart or a mark: an end there is what it seems.
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
