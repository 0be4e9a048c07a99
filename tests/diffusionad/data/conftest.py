from pathlib import Path

import numpy as np
import pytest
from PIL import Image


def _save(image, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path)
    return path


@pytest.fixture
def paint():
    """Write a photograph of smooth noise; another seed, another picture."""

    def write(path: Path, seed=0, size=(40, 48), mode="L"):
        height, width = size
        noise = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
        return _save(Image.fromarray(noise).resize((width, height)).convert(mode), path)

    return write


@pytest.fixture
def mark():
    """Write a mask with a square of `value`; 0 leaves it empty."""

    def write(path: Path, value=255, size=(40, 48)):
        mask = np.zeros(size, np.uint8)
        mask[10:20, 10:20] = value
        return _save(Image.fromarray(mask), path)

    return write


@pytest.fixture
def rows():
    """Return what a test writes by hand: (path, split, label, defect, mask) of each item."""

    def of(listing):
        return [(i.path, i.split, i.label, i.defect, i.mask) for i in listing.items]

    return of
