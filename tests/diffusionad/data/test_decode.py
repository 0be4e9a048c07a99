import io
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from diffusionad.data import decode
from diffusionad.data.decode import load, open_image, orientation, read_bytes, to_rgb, upright_size


def packed(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def rgb(data):
    return to_rgb(load(open_image(data, "x"), "x"), "x")


def test_grey_is_repeated():
    image = Image.fromarray(np.array([[0, 51, 255]], np.uint8))

    np.testing.assert_allclose(rgb(packed(image)), np.repeat([[[0], [0.2], [1]]], 3, axis=2), atol=1e-7)


def test_sixteen_bits_keep_their_ratio_whatever_the_brightest_is():
    dark = Image.fromarray(np.array([[0, 6553, 13107]], np.uint16))

    np.testing.assert_allclose(rgb(packed(dark))[0, :, 0], [0, 0.1, 0.2], atol=1e-4)


def test_a_palette_is_resolved():
    image = Image.fromarray(np.array([[0, 1]], np.uint8), "L").convert("P")
    image.putpalette([255, 0, 0, 0, 0, 255])

    np.testing.assert_array_equal(rgb(packed(image)), [[[1, 0, 0], [0, 0, 1]]])


@pytest.mark.parametrize("alpha", [0, 51, 255])
def test_what_is_transparent_lies_over_black(alpha):
    image = Image.new("RGBA", (1, 1), (255, 0, 255, alpha))

    np.testing.assert_allclose(rgb(packed(image))[0, 0], [alpha / 255, 0, alpha / 255], atol=1e-6)


def test_a_transparent_colour_of_a_palette_lies_over_black_too():
    image = Image.new("P", (1, 1), 0)
    image.putpalette([255, 255, 255])

    assert rgb(packed(image, transparency=0)).max() == 0


def test_cmyk_is_converted():
    image = Image.new("CMYK", (8, 8), (0, 0, 0, 0))

    assert rgb(packed(image, "JPEG")).min() > 0.98


def test_floats_are_taken_as_they_are_within_zero_and_one():
    image = Image.fromarray(np.array([[0.25]], np.float32))

    assert rgb(packed(image, "TIFF"))[0, 0, 0] == 0.25


def test_floats_of_unknown_range_are_refused():
    with pytest.raises(ValueError, match=r"expected values in \[0, 1\] for mode F, got 300 to 300"):
        rgb(packed(Image.fromarray(np.array([[300]], np.float32)), "TIFF"))


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_every_exif_rotation_stands_upright(turn, kind):
    """The oracle: Pillow's own transposition."""
    noise = np.random.default_rng(0).integers(0, 256, (16, 24, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = turn
    data = packed(Image.fromarray(noise), kind, exif=exif)

    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"), np.float32) / 255

    assert upright_size(open_image(data, "x")) == expected.shape[:2]
    np.testing.assert_array_equal(rgb(data), expected)


def test_looking_for_a_rotation_does_not_decode_a_png():
    data = packed(Image.new("L", (4, 4)))

    assert orientation(open_image(data[:45], "x")) == 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "x: the file is empty"),
        (b"not an image", "x: not an image; expected one of PNG, JPEG"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 1 1\n", "x: not an image"),
        (b"\x89PNG\r\n\x1a\n", "x: not an image"),
    ],
)
def test_what_is_no_image_is_refused_by_name(data, reason):
    with pytest.raises(ValueError, match=reason):
        open_image(data, "x")


@pytest.mark.parametrize("kind", ["GIF", "PNG", "TIFF", "WEBP"])
def test_animations_and_pages_are_refused(kind):
    frames = [Image.new("RGB", (4, 4), c) for c in ("red", "blue")]

    with pytest.raises(ValueError, match=r"x: animated or of many pages \(2 frames\)"):
        open_image(packed(frames[0], kind, save_all=True, append_images=frames[1:]), "x")


def test_of_a_stereo_jpeg_the_first_picture_counts():
    frames = [Image.new("RGB", (8, 8), c) for c in ("white", "black")]

    assert rgb(packed(frames[0], "MPO", save_all=True, append_images=frames[1:])).min() > 0.98


@pytest.mark.parametrize("pixels", [100_000_000, 400_000_000])
@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_a_decompression_bomb_is_refused_by_its_header(pixels):
    header = packed(Image.new("1", (8, 8)))
    side = int(pixels**0.5)
    bomb = header[:16] + side.to_bytes(4, "big") * 2 + header[24:29]
    bomb += zlib.crc32(bomb[12:]).to_bytes(4, "big") + header[33:]

    with pytest.raises(ValueError, match="x: more than 89478485 pixels; refused as a decompression bomb"):
        open_image(bomb, "x")


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "TIFF"])
def test_a_cut_off_file_is_refused_when_loaded(kind):
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8))
    data = packed(noise, kind)

    with pytest.raises(ValueError, match=r"x: (damaged or cut off|not an image)"):
        rgb(data[: len(data) // 2])


def test_reading_names_what_is_not_there_and_what_is_a_folder(tmp_path):
    with pytest.raises(ValueError, match=r"gone.png: no such file"):
        read_bytes(tmp_path / "gone.png")
    with pytest.raises(ValueError, match="expected an image, got a folder"):
        read_bytes(tmp_path)


def test_a_file_that_may_not_be_read_says_so(tmp_path, monkeypatch):
    """Root may read everything, so the refusal is made at the border to the operating system."""

    def refuse(self):
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(decode.Path, "read_bytes", refuse)

    with pytest.raises(ValueError, match=r"a.png: may not be read; give yourself the permission"):
        read_bytes(tmp_path / "a.png")
