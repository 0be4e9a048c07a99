import hashlib

import numpy as np
import pytest
from PIL import Image

from stages.download.facts import image_facts, mask_facts, pixel_facts
from toys.pictures import mark, paint


def describe(path, *, pixels):
    data = path.read_bytes()
    facts = image_facts(data)
    return pixel_facts(facts, data) if pixels else facts


@pytest.mark.parametrize("mode", ["L", "RGB", "RGBA", "P", "CMYK", "1", "LA"])
@pytest.mark.parametrize("pixels", [True, False])
def test_a_file_is_described_whatever_its_form(tmp_path, mode, pixels):
    path = paint(tmp_path / f"a.{'tif' if mode == 'CMYK' else 'png'}", size=(40, 60), mode=mode)

    facts = describe(path, pixels=pixels)

    assert facts.fault is None
    assert (facts.height, facts.width, facts.mode) == (40, 60, mode)
    assert facts.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert (facts.brightness is not None) == (facts.fingerprint is not None) == pixels


def test_brightness_is_the_mean_also_of_deep_images(tmp_path):
    deep = np.full((40, 40), 65535 // 4, np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    Image.new("L", (40, 40), 64).save(tmp_path / "plain.png")

    for name in ("deep.png", "plain.png"):
        assert describe(tmp_path / name, pixels=True).brightness == pytest.approx(0.25, abs=0.005)


def test_one_picture_has_one_fingerprint_as_jpeg_and_as_png(tmp_path):
    path = paint(tmp_path / "a.png", size=(400, 480))
    Image.open(path).save(tmp_path / "a.jpg", quality=80)

    bits = [int(describe(tmp_path / n, pixels=True).fingerprint, 16) for n in ("a.png", "a.jpg")]

    assert (bits[0] ^ bits[1]).bit_count() <= 8


@pytest.mark.parametrize("pixels", [True, False])
@pytest.mark.parametrize("ending", ["png", "jpg", "bmp"])
def test_a_cut_off_file_is_found_with_and_without_its_pixels(tmp_path, ending, pixels):
    path = paint(tmp_path / f"a.{ending}", size=(200, 200))
    path.write_bytes(path.read_bytes()[:-200])

    assert "cut off" in describe(path, pixels=pixels).fault


def test_a_flipped_bit_of_a_png_is_found_without_decoding(tmp_path):
    path = paint(tmp_path / "a.png", size=(200, 200))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)

    assert "damaged" in describe(path, pixels=False).fault


def test_a_jpeg_with_a_thumbnail_is_not_taken_for_whole_by_the_end_of_that(tmp_path):
    thumb, path = paint(tmp_path / "t.jpg", size=(40, 40)), paint(tmp_path / "a.jpg", size=(300, 300))
    exif = b"Exif\0\0" + thumb.read_bytes()
    Image.open(path).save(path, exif=exif)
    path.write_bytes(path.read_bytes()[:-300])

    assert "cut off" in describe(path, pixels=False).fault


@pytest.mark.parametrize(("content", "fault"), [(b"", "the file is empty (0 bytes)"), (b"text", "not an image")])
def test_a_fault_is_told_without_a_name(content, fault):
    assert image_facts(content).fault.startswith(fault)
    assert mask_facts(content).fault.startswith(fault)


def test_a_mask_is_described_by_its_area(tmp_path):
    facts = mask_facts(mark(tmp_path / "m.png", value=3, size=(40, 50)).read_bytes())

    assert (facts.height, facts.width, facts.area, facts.fault) == (40, 50, 100 / 2000, None)
