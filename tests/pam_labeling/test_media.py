from __future__ import annotations

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image

from pam_labeling.errors import ImageError
from pam_labeling.media import MAX_PIXELS, LoadedImage, read_image, read_mask
from tests.pam_labeling.encoded import (
    BLUE,
    GREEN,
    RED,
    WHITE,
    assert_corners,
    corners,
    encode,
    raw_png,
)


@pytest.mark.parametrize(
    ("fmt", "options", "tolerance"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("GIF", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("JPEG", {"quality": 95}, 8),
        ("AVIF", {"quality": 95}, 8),
        ("JPEG2000", {}, 0),
        ("PPM", {}, 0),
    ],
)
def test_every_format_is_read_from_bytes_and_from_a_file(fmt, options, tolerance, tmp_path):
    content = encode(corners(), fmt, **options)
    path = tmp_path / f"image.{fmt.lower()}"
    path.write_bytes(content)
    for source in (content, path, str(path)):
        image = read_image(source)
        assert image.size == (40, 24)
        assert image.pixels.dtype == np.uint8
        assert_corners(image.pixels, tolerance)


@pytest.mark.parametrize("fmt", ["JPEG", "MPO", "PNG", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(fmt, orientation):
    stored = {
        1: [],
        2: [Image.Transpose.FLIP_LEFT_RIGHT],
        3: [Image.Transpose.ROTATE_180],
        4: [Image.Transpose.FLIP_TOP_BOTTOM],
        5: [Image.Transpose.TRANSPOSE],
        6: [Image.Transpose.ROTATE_90],
        7: [Image.Transpose.TRANSVERSE],
        8: [Image.Transpose.ROTATE_270],
    }
    turned = corners()
    for turn in stored[orientation]:
        turned = turned.transpose(turn)
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    content = encode(turned, fmt, exif=exif, quality=95, lossless=True)
    image = read_image(content)
    assert image.size == (40, 24)
    assert_corners(image.pixels, 8)


def png_turned_after_its_pixels():
    content = encode(corners(), "PNG", exif=sideways())
    start = content.index(b"eXIf") - 4
    stop = start + 12 + int.from_bytes(content[start : start + 4], "big")
    return content[:start] + content[stop:-12] + content[start:stop] + content[-12:]


def sideways():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    return exif


def avif_turned_by_exif_alone():
    # Pillow itself writes an orientation as the AVIF's own turn.
    tiff = b"II*\0\x08\0\0\0\x01\0\x13\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    content = encode(corners(), "AVIF", exif=b"Exif\0\0" + tiff, quality=95)
    assert tiff in content
    return content.replace(tiff, tiff.replace(b"\x13\x01", b"\x12\x01"))


XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description '
    b'xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></x:xmpmeta>'
)


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(encode(corners(), "WEBP", exif=sideways(), lossless=True), id="webp"),
        pytest.param(encode(corners(), "JPEG", xmp=XMP, quality=95), id="xmp"),
        pytest.param(png_turned_after_its_pixels(), id="png after the pixels"),
        pytest.param(avif_turned_by_exif_alone(), id="avif by exif"),
        pytest.param(encode(corners(), "AVIF", xmp=XMP, quality=95), id="avif xmp"),
    ],
)
def test_what_browsers_show_as_stored_is_not_turned(content):
    # tests/e2e/test_image_orientation.py compares with a browser.
    image = read_image(content)
    assert image.size == (40, 24)
    assert_corners(image.pixels, 8)


def test_damaged_exif_is_no_reason_to_refuse_an_image():
    content = encode(corners(), "PNG", exif=b"Exif\0\0nonsense that is no TIFF header")
    assert_corners(read_image(content).pixels)


def test_an_orientation_that_does_not_exist_is_upright():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 9
    assert_corners(read_image(encode(corners(), "PNG", exif=exif)).pixels)


def grey(value, mode="L"):
    return Image.new(mode, (6, 4), value)


@pytest.mark.parametrize(
    ("content", "colour"),
    [
        pytest.param(encode(grey(100), "PNG"), (100, 100, 100), id="grey"),
        pytest.param(encode(grey(1, "1"), "PNG"), WHITE, id="one bit"),
        pytest.param(encode(grey((255, 0, 0, 0), "RGBA"), "PNG"), WHITE, id="clear is white"),
        pytest.param(encode(grey((255, 0, 0, 102), "RGBA"), "PNG"), (255, 153, 153), id="alpha"),
        pytest.param(encode(grey((0, 102), "LA"), "PNG"), (153, 153, 153), id="grey and alpha"),
        pytest.param(
            encode(grey((255, 0, 0, 255), "RGBA"), "WEBP", lossless=True), RED, id="webp alpha"
        ),
        pytest.param(
            encode(grey(RED, "RGB").quantize(), "PNG", transparency=0), WHITE, id="palette, clear"
        ),
        pytest.param(encode(grey(RED, "RGB").quantize(), "PNG"), RED, id="palette"),
        pytest.param(
            encode(grey(GREEN, "RGB"), "PNG", transparency=GREEN), WHITE, id="clear colour"
        ),
        pytest.param(encode(grey(32768, "I;16"), "PNG"), (128, 128, 128), id="16-bit png"),
        pytest.param(encode(grey(65535, "I;16"), "PNG"), WHITE, id="16-bit white"),
        pytest.param(encode(grey(16448, "I;16"), "TIFF"), (64, 64, 64), id="16-bit tiff"),
        pytest.param(
            raw_png(1, 1, 16, 0, b"\0\x80\x00", (b"tRNS", b"\x80\x00")), WHITE, id="16-bit, clear"
        ),
        pytest.param(
            raw_png(1, 1, 16, 2, b"\0" + bytes([255, 255, 128, 0, 0, 0])),
            (255, 128, 0),
            id="16-bit colour",
        ),
        pytest.param(
            raw_png(1, 1, 16, 6, b"\0" + bytes([255, 255, 0, 0, 0, 0, 0, 0])),
            WHITE,
            id="16-bit colour, clear",
        ),
        pytest.param(encode(grey((0, 255, 255, 0), "CMYK"), "TIFF"), RED, id="cmyk tiff"),
        pytest.param(
            encode(grey((0, 255, 255, 0), "CMYK"), "JPEG", quality=95), RED, id="cmyk jpeg"
        ),
    ],
)
def test_every_kind_of_pixel_becomes_the_colour_that_people_see(content, colour):
    found = read_image(content).pixels[0, 0].astype(int)
    np.testing.assert_allclose(found, colour, atol=3)


def test_the_jpeg_above_is_one_that_adobe_inverted():
    content = encode(grey((0, 255, 255, 0), "CMYK"), "JPEG")
    assert b"Adobe" in content


@pytest.mark.parametrize("fmt", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_of_an_animation_is_read(fmt):
    frames = [Image.new("RGB", (6, 4), colour) for colour in (RED, BLUE)]
    options = {"lossless": True} if fmt == "WEBP" else {}
    content = encode(frames[0], fmt, save_all=True, append_images=frames[1:], **options)
    assert read_image(content).pixels[0, 0].tolist() == list(RED)


@pytest.mark.parametrize(
    "fmt", ["PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "JPEG2000", "PPM"]
)
def test_a_truncated_image_is_refused(fmt):
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    content = encode(Image.fromarray(noise), fmt)
    with warnings.catch_warnings():  # as people run it: Pillow warns, and goes on
        warnings.simplefilter("default")
        with pytest.raises(ImageError, match=r"^cut\.x: .*(damaged or truncated|not an image)"):
            read_image(content[: len(content) // 2], name="cut.x")


@pytest.mark.parametrize("content", [b"hello", b"<svg xmlns='x'/>", b"\0" * 100, b"%PDF-1.7"])
def test_what_is_not_an_image_is_refused_with_advice(content):
    with pytest.raises(ImageError, match=r"notes\.txt: not an image.*PNG.*convert it"):
        read_image(content, name="notes.txt")


def test_formats_outside_the_list_are_not_opened():
    for fmt in ("TGA", "ICO", "PCX"):
        with pytest.raises(ImageError, match="known format"):
            read_image(encode(corners((16, 16)), fmt))


def test_files_that_are_not_there_empty_or_folders_are_refused_by_name(tmp_path):
    empty = tmp_path / "empty.png"
    empty.touch()
    for path, message in [
        (tmp_path / "missing.png", "no such file"),
        (empty, r"empty \(0 bytes\)"),
        (tmp_path, "a folder"),
        ("a\0b.png", "cannot be read"),
        ("x" * 5000, "cannot be read"),
    ]:
        with pytest.raises(ImageError, match=message) as refusal:
            read_image(path)
        assert str(refusal.value).startswith(f"{path}: ")


def test_devices_are_not_read():
    with pytest.raises(ImageError, match="not a regular file"):
        read_image("/dev/zero")


def test_a_file_larger_than_its_pixels_could_be_is_not_even_read(tmp_path):
    path = tmp_path / "long.bmp"
    path.write_bytes(bytes(801))
    with pytest.raises(ImageError, match="801 bytes, but the limit is 800"):
        read_image(path, max_pixels=100)


@pytest.mark.parametrize("side", [9500, 20_000, 2_000_000])
@pytest.mark.parametrize("action", ["error", "ignore"])
def test_a_decompression_bomb_is_refused_before_it_is_unpacked(side, action):
    bomb = raw_png(side, side, 8, 2, b"")
    with warnings.catch_warnings():
        warnings.simplefilter(action, Image.DecompressionBombWarning)
        with pytest.raises(ImageError, match=r"bomb\.png: the image is too large .* pixels"):
            read_image(bomb, name="bomb.png")


def test_the_limit_of_pixels_counts_width_times_height():
    content = encode(corners((40, 24)), "PNG")
    read_image(content, max_pixels=960)
    with pytest.raises(ImageError, match=r"40 x 24 pixels\); the limit is 959"):
        read_image(content, max_pixels=959)
    for limit in (0, MAX_PIXELS + 1):
        with pytest.raises(ValueError, match="max_pixels"):
            read_image(content, max_pixels=limit)


@given(
    st.sampled_from(
        ["PNG", "JPEG", "GIF", "TIFF", "WEBP", "BMP", "AVIF", "JPEG2000", "PPM", "HEIF"]
    ),
    st.data(),
)
@settings(max_examples=180, deadline=None)
def test_damaged_bytes_give_an_image_or_a_refusal(fmt, data):
    content = bytearray(encode(corners(), fmt))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = read_image(bytes(content), max_pixels=10_000)
        except ImageError:
            return
    assert image.pixels.ndim == 3


def test_equal_content_has_equal_keys_and_other_content_others(tmp_path):
    content = encode(corners(), "PNG")
    copy = tmp_path / "copy.png"
    copy.write_bytes(content)
    assert read_image(content).key == read_image(copy).key
    assert read_image(encode(grey(RED, "RGB"), "PNG")).key != read_image(content).key


def test_an_image_from_an_array_is_a_read_only_copy():
    pixels = np.zeros((4, 6, 3), dtype=np.uint8)
    image = LoadedImage.from_pixels(pixels)
    pixels[:] = 255
    assert image.size == (6, 4)
    assert not image.pixels.any()
    with pytest.raises(ValueError, match="read-only"):
        image.pixels[0] = 1
    assert LoadedImage.from_pixels(np.zeros((6, 4, 3), np.uint8)).key != image.key


@pytest.mark.parametrize(
    "pixels",
    [np.zeros((4, 6, 3)), np.zeros((4, 6), np.uint8), np.zeros((0, 6, 3), np.uint8)],
)
def test_arrays_that_are_not_8_bit_rgb_are_refused(pixels):
    with pytest.raises(ImageError, match="uint8 array"):
        LoadedImage.from_pixels(pixels)


@pytest.mark.parametrize(
    ("content", "belongs"),
    [
        pytest.param(encode(grey(1), "PNG"), True, id="grey 1"),
        pytest.param(encode(grey(0), "PNG"), False, id="grey 0"),
        pytest.param(encode(grey(1, "1"), "PNG"), True, id="one bit"),
        pytest.param(encode(grey((0, 0, 9), "RGB"), "PNG"), True, id="dark blue"),
        pytest.param(encode(grey((255, 255, 255, 0), "RGBA"), "PNG"), False, id="transparent"),
        pytest.param(encode(grey((255, 255, 255, 9), "RGBA"), "PNG"), True, id="translucent"),
        pytest.param(encode(grey(1, "I;16"), "PNG"), True, id="16-bit 1"),
        pytest.param(encode(grey(0, "I;16"), "PNG"), False, id="16-bit 0"),
        pytest.param(encode(grey(100), "JPEG"), False, id="dark in a jpeg"),
        pytest.param(encode(grey(150), "JPEG"), True, id="light in a jpeg"),
    ],
)
def test_what_belongs_to_a_mask(content, belongs):
    mask = read_mask(content)
    assert mask.dtype == np.bool_
    assert mask.shape == (4, 6)
    assert mask.all() == mask.any() == belongs


def test_a_mask_is_turned_upright_as_its_image_is():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    stored = np.zeros((4, 6), dtype=np.uint8)
    stored[0, 0] = 255
    content = encode(Image.fromarray(stored), "PNG", exif=exif)
    mask = read_mask(content)
    assert mask.shape == (6, 4)
    assert np.argwhere(mask).tolist() == [[0, 3]]
    with pytest.raises(ImageError, match=r"m\.png: .*empty"):
        read_mask(b"", name="m.png")


@pytest.mark.parametrize("size", [(1, 65_536), (65_536, 1), (1, 89_000_000)])
def test_a_side_that_no_browser_shows_is_refused_before_decoding(size):
    content = raw_png(*size, 1, 0, b"")
    with pytest.raises(ImageError, match="too large .* 65,535 on a side"):
        read_image(content)
    assert read_image(encode(Image.new("1", (1, 65_535)), "PNG")).size == (1, 65_535)


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "transparent"]
)
def test_images_converted_in_strips_are_those_converted_whole(monkeypatch, mode):
    image = corners((40, 25)).convert("RGB" if mode in ("I;16", "transparent") else mode)
    options = {}
    if mode == "I;16":
        grey = np.arange(1000, dtype=np.uint16).reshape(25, 40) * 65
        image, options = Image.fromarray(grey), {"transparency": 650}
    if mode == "transparent":
        image, options = image.quantize(8), {"transparency": bytes([0, 9, 255])}
    content = encode(image, "TIFF" if mode == "CMYK" else "PNG", **options)
    whole = read_image(content).pixels, read_mask(content)
    monkeypatch.setattr("pam_labeling.media.reading._STRIP", 7 * 40)
    np.testing.assert_array_equal(read_image(content).pixels, whole[0])
    np.testing.assert_array_equal(read_mask(content), whole[1])


def test_a_jpegs_mask_and_a_turned_image_survive_strips(monkeypatch):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    content = encode(corners(), "JPEG", exif=exif, quality=60)
    whole = read_image(content).pixels, read_mask(content)
    monkeypatch.setattr("pam_labeling.media.reading._STRIP", 7 * 40)
    np.testing.assert_array_equal(read_image(content).pixels, whole[0])
    np.testing.assert_array_equal(read_mask(content), whole[1])
