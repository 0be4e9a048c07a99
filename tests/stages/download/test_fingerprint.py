import io

import numpy as np
import pytest
from PIL import Image

from stages.download.fingerprint import NUM_BITS, fingerprint, near_pairs, thumbnail


def picture(seed, side=256):
    noise = np.random.default_rng(seed).integers(0, 256, (12, 12), dtype=np.uint8)
    return Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC)


def distance(a, b):
    prints = [fingerprint(thumbnail(image)) for image in (a, b)]
    return next(near_pairs(prints, NUM_BITS))[2]


def jpeg(image, quality):
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


@pytest.mark.parametrize(
    "change",
    [
        lambda image: image,
        lambda image: image.resize((200, 230)),
        lambda image: jpeg(image, 50),
        lambda image: image.convert("RGB"),
        lambda image: image.point(lambda v: v * 0.9 + 10),
    ],
    ids=["same", "resized", "jpeg", "rgb", "brighter"],
)
def test_a_picture_stored_anew_is_near_itself(change):
    assert distance(picture(0), change(picture(0))) <= 8


def test_pictures_of_different_things_are_far():
    assert min(distance(picture(0), picture(seed)) for seed in range(1, 10)) > 60


def test_the_distance_is_a_count_of_bits():
    zero, one, all_but_pad = "00" * 32, "80" + "00" * 31, "ff" * 31 + "fe"

    assert list(near_pairs([zero, one, all_but_pad], 255)) == [(0, 1, 1), (0, 2, 255), (1, 2, 254)]


def test_pairs_are_found_across_blocks():
    """The oracle: every pair, one by one."""
    rng = np.random.default_rng(0)
    prints = [rng.integers(0, 4, 32, dtype=np.uint8).tobytes().hex() for _ in range(1100)]
    prints[1050] = prints[3]

    found = [(i, j) for i, j, bits in near_pairs(prints, 0)]

    assert found == [(3, 1050)]


def test_a_flat_picture_has_no_noise_for_a_fingerprint():
    assert fingerprint(thumbnail(Image.new("L", (50, 50), 77))) == fingerprint(thumbnail(Image.new("L", (90, 40), 200)))
