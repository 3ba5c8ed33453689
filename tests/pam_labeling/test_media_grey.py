"""Grey of more than 8 bits: which values become black and white, and what is said about it."""

from __future__ import annotations

import base64
import logging
import struct
import warnings

import numpy as np
import pytest
from PIL import Image

from pam_labeling import Prompt, Request
from pam_labeling.errors import ImageError, InputError
from pam_labeling.media import parse_range, read_image, read_mask
from tests.pam_labeling.encoded import encode

NAN, INF = np.nan, np.inf
# 4 x 4, columns of 0, 1000, 2000 and 4095, in 12 bits, by OpenJPEG.
JPEG_2000 = base64.b64decode(
    "/0//UQApAAAAAAAEAAAABAAAAAAAAAAAAAAABAAAAAQAAAAAAAAAAAABCwEB/1IADAAAAAEAAAQEAAH/XAAEQGD/ZAAlAAFD"
    "cmVhdGVkIGJ5IE9wZW5KUEVHIHZlcnNpb24gMi41LjT/kAAKAAAAAAApAAH/k9/gYBFiNPlJvyWaJUKHf0C2epRXS9leZEYf"
    "H//Z"
)


def deep(values, fmt="PNG", dtype=np.uint16, **options):
    return encode(Image.fromarray(np.array([values], dtype)), fmt, **options)


def floats(*values, **options):
    return deep(values, "TIFF", np.float32, **options)


def shown(content, **options):
    """The first row in 8 bits."""
    pixels = read_image(content, **options).pixels
    assert (pixels == pixels[..., :1]).all()
    return pixels[0, :, 0].tolist()


def tiff_of_12_bits(*values):
    """A TIFF of one row as Pillow cannot write it: two values in three bytes."""
    packed = b"".join(
        ((first << 12) | second).to_bytes(3, "big")
        for first, second in zip(values[::2], values[1::2], strict=True)
    )
    tags = {256: len(values), 257: 1, 258: 12, 259: 1, 262: 1, 277: 1, 278: 1, 279: len(packed)}
    tags[273] = 8 + 2 + 12 * (len(tags) + 1) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, tags[tag]) for tag in sorted(tags))
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + packed


@pytest.mark.parametrize(
    ("greatest", "white"),
    [
        (200, 255),
        (255, 255),
        (256, 1023),
        (1023, 1023),
        (1024, 4095),
        (4095, 4095),
        (4096, 16383),
        (16383, 16383),
        (16384, 65535),
        (65535, 65535),
    ],
)
@pytest.mark.parametrize("fmt", ["PNG", "TIFF", "PPM", "JPEG2000"])
def test_the_depth_is_found_from_the_greatest_value(fmt, greatest, white):
    values = [0, greatest // 3, greatest]
    image = read_image(deep(values, fmt))
    assert image.pixels[0, :, 0].tolist() == [round(value / white * 255) for value in values]
    said = f"{white:,} is shown as white; PAM_RANGE or --range sets another range"
    assert image.note is None if white == 65535 else image.note.endswith(said)


def test_every_image_of_one_depth_is_shown_alike():
    bright, dark = shown(deep([0, 2000, 4095])), shown(deep([0, 2000, 2100]))
    assert bright[:2] == dark[:2] == [0, 125]


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"P5 4 1 4095\n" + struct.pack(">4H", 0, 1000, 2000, 4095), id="pgm"),
        pytest.param(b"P2 4 1 4095\n0 1000 2000 4095\n", id="plain pgm"),
        pytest.param(tiff_of_12_bits(0, 1000, 2000, 4095), id="tiff"),
        pytest.param(JPEG_2000, id="jpeg 2000"),
    ],
)
def test_a_depth_that_the_file_declares_is_taken_and_needs_no_note(content):
    assert shown(content) == shown(content, grey_range="full") == [0, 62, 125, 255]
    assert read_image(content).note is None
    # The range is in the file's own numbers.
    assert shown(content, grey_range="1000,2000") == [0, 0, 255, 255]
    assert shown(content, grey_range="data") == [0, 62, 125, 255]
    assert read_mask(content)[0].tolist() == [False, True, True, True]


def test_a_dark_image_with_a_declared_depth_stays_dark():
    assert shown(tiff_of_12_bits(0, 100)) == [0, 6]
    assert shown(b"P5 1 1 4095\n\0\x64") == [6]


@pytest.mark.parametrize(
    ("values", "grey"),
    [
        ([0, 0.25, 0.5, 1], [0, 64, 128, 255]),
        ([0.2, 0.4], [51, 102]),
        ([0, 1], [0, 255]),
        ([-1, 0, 0.5, 1], [0, 128, 191, 255]),
        ([0, 128, 255], [0, 128, 255]),
        ([0, 1000, 4095], [0, 62, 255]),
        ([15.5, 20, 35.5], [0, 57, 255]),
        ([-20, 20], [0, 255]),
        ([0, 70_000], [0, 255]),
        ([0.5, NAN, 1], [128, 255, 255]),
        ([0, INF, -INF, 0.5], [0, 255, 0, 128]),
        ([NAN, NAN], [255, 255]),
        ([INF, -INF], [255, 0]),
        ([-3e38, 0, 3e38], [0, 128, 255]),
    ],
)
def test_floating_point_grey_is_shown_by_its_own_values(values, grey):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert shown(floats(*values)) == grey


def test_a_stretch_names_its_numbers():
    note = read_image(floats(15.5, 20, 35.5)).note
    assert note.startswith("its grey is shown from 15.5 (black) to 35.5 (white), which its own")
    assert "from -1 to 1" in read_image(floats(-1, 1)).note
    assert "from 0 to 1" in read_image(floats(0, 0.5)).note


@pytest.mark.parametrize(
    "values",
    [[7, 7], [0, 0], [3.7, 3.70001], [-5, -5.00001], [1e6, 1e6 + 1], [-1e-3, -1e-3], [300, 300]],
)
@pytest.mark.parametrize("grey_range", ["auto", "data"])
def test_a_constant_image_stays_constant(values, grey_range):
    first, second = shown(floats(*values), grey_range=grey_range)
    assert abs(first - second) <= 1


def test_negative_and_large_whole_numbers_are_read():
    assert shown(deep([-1024, 0, 3071], "TIFF", np.int32)) == [0, 64, 255]
    assert shown(deep([0, 100, 255], "TIFF", np.int32)) == [0, 100, 255]
    content = deep([0, -1, -(2**31)], "TIFF", np.int32)
    unsigned = content.replace(
        struct.pack("<HHI2H", 339, 3, 1, 2, 0), struct.pack("<HHI2H", 339, 3, 1, 1, 0)
    )
    assert shown(content) != shown(unsigned) == [0, 255, 128]


@pytest.mark.parametrize("nothing", ["-9999", "-3.4028234663852886e+38", "nan"])
def test_pixels_without_a_value_are_white_and_count_for_nothing(nothing):
    content = floats(float(nothing), 100.5, 200.5, tiffinfo={42113: nothing})
    assert shown(content) == [255, 0, 255]
    for other in ("-1.7976931348623157e+308", "no number"):
        assert shown(floats(0, 1, tiffinfo={42113: other})) == [0, 255]
    assert shown(deep([0, 1000, 4095], "TIFF", tiffinfo={42113: "0"})) == [255, 62, 255]
    assert shown(deep([0, 1000, 4095], "TIFF", tiffinfo={42113: "-9999"})) == [0, 62, 255]


def test_a_range_of_ones_own_is_taken_without_a_note():
    content = deep([0, 1000, 2000, 4095])
    image = read_image(content, grey_range=(1000, 2000))
    assert image.pixels[0, :, 0].tolist() == [0, 0, 255, 255]
    assert image.note is None
    assert shown(content, grey_range="full") == [0, 4, 8, 16]
    assert shown(deep([7000, 8000, 9000]), grey_range="data") == [0, 128, 255]
    assert shown(encode(Image.new("L", (1, 1), 100), "PNG"), grey_range="0,9") == [100]


def test_other_ranges_are_other_images_for_the_cache():
    content = deep([0, 1000])
    keys = {read_image(content, grey_range=wanted).key for wanted in ("auto", "full", "0,9", "1,9")}
    assert len(keys) == 4
    grey = encode(Image.new("L", (1, 1), 100), "PNG")
    assert read_image(grey, grey_range="0,9").key == read_image(grey).key


def test_floating_point_grey_has_no_full_range():
    with pytest.raises(ImageError, match=r"^f\.tif: only grey of 16 bits has a full range"):
        read_image(floats(0, 1), grey_range="full", name="f.tif")


@pytest.mark.parametrize(
    "text", ["x", "", "5", "5,2", "1,1", "1,2,3", "nan,1", "0,inf", None, 5, ("a", "b"), b"0,1"]
)
def test_what_is_no_range_is_refused(text):
    with pytest.raises(InputError, match=r"^must be LOW,HIGH .*auto, full or data, not"):
        parse_range(text)
    with pytest.raises(InputError, match="^grey_range must be LOW,HIGH"):
        read_image(b"", grey_range=text)


@pytest.mark.parametrize("dtype", [np.uint16, np.float32, np.int32])
def test_strips_find_the_same_range(monkeypatch, dtype):
    values = np.linspace(-20 if dtype is not np.uint16 else 0, 4095, 1000).reshape(25, 40)
    content = encode(Image.fromarray(values.astype(dtype)), "TIFF")
    whole = read_image(content)
    monkeypatch.setattr("pam_labeling.media.reading._STRIP", 7 * 40)
    parts = read_image(content)
    np.testing.assert_array_equal(parts.pixels, whole.pixels)
    assert parts.note == whole.note


def test_an_annotation_has_the_note_and_the_log_once(annotator, caplog):
    caplog.set_level(logging.WARNING)
    click = (Prompt.from_points([(1, 1)]),)
    dark, other = (
        encode(Image.fromarray(np.full((48, 64), top, np.uint16)), "PNG") for top in (4000, 4001)
    )
    notes = [annotator.annotate(Request(content, click)).note for content in (dark, other, dark)]
    assert len(set(notes)) == 1
    assert "4,095 is shown as white" in notes[0]
    assert [record.getMessage() for record in caplog.records] == [f"'image': {notes[0]}"]
