"""Grey plates in MVTec's layout; the bad ones have a dark hole."""

import numpy as np
from PIL import Image


def draw_plates(folder, rng, count, *, holes=None, brightness=150):
    """Add plates of 48 x 48 pixels to a folder; with `holes`, a folder for the masks, each gets a hole."""
    folder.mkdir(parents=True, exist_ok=True)
    first = len(list(folder.iterdir()))
    for index in range(first, first + count):
        pixels = rng.normal(brightness, 12, (48, 48)).clip(0, 255).astype(np.uint8)
        if holes:
            mask = np.zeros_like(pixels)
            top, left = rng.integers(4, 32, 2)
            mask[top : top + 12, left : left + 10] = 255
            pixels[mask > 0] //= 4
            holes.mkdir(parents=True, exist_ok=True)
            Image.fromarray(mask).save(holes / f"{index:03}_mask.png")
        Image.fromarray(pixels).save(folder / f"{index:03}.png")


def draw_category(root):
    """Draw 16 good plates to train on, and 6 good ones and 6 with holes to test with."""
    rng = np.random.default_rng(0)
    draw_plates(root / "train" / "good", rng, 16)
    draw_plates(root / "test" / "good", rng, 6)
    draw_plates(root / "test" / "hole", rng, 6, holes=root / "ground_truth" / "hole")
