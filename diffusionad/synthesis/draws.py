"""One random generator for every item, so that neither order nor the number of workers changes a draw."""

import numpy as np


def item_generator(seed: int, sha256: str, index: int) -> np.random.Generator:
    """Derive the generator of the index-th draw on one image.

    Args:
        seed: The seed of the section that draws, at least 0.
        sha256: Digest of the image's file, 64 hexadecimal digits (column `sha256` of the manifest).
        index: Which draw on this image, at least 0 (an epoch, or the number of a stored anomaly).

    Returns:
        A generator that depends on these three and on nothing else.

    Example:
        >>> a, b = item_generator(0, "ab" * 32, 1), item_generator(0, "ab" * 32, 1)
        >>> a.random() == b.random()
        True
    """
    return np.random.default_rng([seed, int(sha256[:16], 16), index])
