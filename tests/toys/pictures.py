"""Pictures and masks that are drawn in a millisecond."""

import numpy as np
from PIL import Image


def paint(path, seed=0, size=(40, 48), mode="L"):
    """Write a photograph of smooth noise, height by width; another seed, another picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(noise).resize(size[::-1]).convert(mode).save(path)
    return path


def mark(path, value=255, size=(40, 48), box=(10, 20)):
    """Write a mask with a square of `value`; 0 leaves it empty."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mask = np.zeros(size, np.uint8)
    mask[slice(*box), slice(*box)] = value
    Image.fromarray(mask).save(path)
    return path
