"""Formats beside the usual ones, pages, animations, damaged metadata, and lossy masks."""

from __future__ import annotations

import io
import subprocess
import sys

import cv2
import numpy as np
import pytest
from PIL import ExifTags, Image

from pam_labeling.errors import ImageError, InputError
from pam_labeling.media import SUFFIXES, count_pages, formats, read_image, read_mask
from tests.pam_labeling.encoded import BLUE, GREEN, RED, assert_corners, corners, encode

COLOURS = (RED, BLUE, GREEN)


def heic(image, **options):
    return encode(image, "HEIF", quality=95, **options)


def frames(fmt, **options):
    first, *others = (Image.new("RGB", (8, 4), colour) for colour in COLOURS)
    return encode(first, fmt, save_all=True, append_images=others, **options)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_iphones_photograph_is_read_upright(orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    turned = heic(corners((64, 48)), exif=exif)
    shown = Image.open(io.BytesIO(turned))  # Pillow's plugin turns by the file's own turn
    np.testing.assert_array_equal(read_image(turned).pixels, np.asarray(shown.convert("RGB")))
    if orientation == 1:
        assert_corners(read_image(turned).pixels, 12)


def test_heic_without_its_package_is_refused_with_the_extra(monkeypatch):
    content = heic(corners())
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    with pytest.raises(ImageError, match=r'^i\.heic: HEIC .*extra "heic".*pip install pillow-heif'):
        read_image(content, name="i.heic")


def test_avif_with_an_old_pillow_is_refused_with_the_version(monkeypatch):
    monkeypatch.setattr(formats, "_reads_avif", lambda: False)
    with pytest.raises(ImageError, match=r"^a\.avif: AVIF is read with Pillow 11\.3"):
        read_image(encode(corners(), "AVIF"), name="a.avif")


def test_an_older_pillow_does_not_know_avif(monkeypatch):
    def unknown(name):
        raise ValueError(name)

    monkeypatch.setattr("PIL.features.check_module", unknown)
    formats._reads_avif.cache_clear()
    assert not formats._reads_avif()
    formats._reads_avif.cache_clear()


@pytest.mark.parametrize(
    ("content", "pixels"),
    [
        pytest.param(b"P1 3 1\n1 0 1\n", [0, 255, 0], id="pbm"),
        pytest.param(b"P4 8 1\n\xf0", [0, 0, 0, 0, 255, 255, 255, 255], id="packed pbm"),
        pytest.param(b"P5 3 1 255\n\x00\x64\xff", [0, 100, 255], id="pgm"),
        pytest.param(b"P5 3 1 15\n\x00\x05\x0f", [0, 85, 255], id="pgm of 4 bits"),
        pytest.param(b"P6 1 1 4095\n\x0f\xff\x08\x00\x00\x00", [255], id="ppm of 12 bits"),
        pytest.param(b"P5 2 1 100\n\x32\xff", [128, 255], id="pgm of 100"),
        pytest.param(b"P3 1 1 255\n9 9 9\n", [9], id="ppm"),
    ],
)
def test_portable_maps_are_read(content, pixels):
    assert read_image(content).pixels[0, :, 0].tolist() == pixels


def test_a_truncated_or_endless_portable_map_is_refused(monkeypatch):
    for start in (b"P5 9 9 4095\n", b"P6 9 9 65535\n", b"P5 9 9 65535\n", b"P2 9 9 9\n"):
        with pytest.raises(ImageError, match=r"^m\.pgm: the image is damaged or truncated"):
            read_image(start + b"1 2 3 4", name="m.pgm")
    monkeypatch.setattr(formats, "_MOST_PLAIN", 8)
    with pytest.raises(ImageError, match=r"^m\.pgm: a portable map in digits of more than 8 pix"):
        read_image(b"P2 3 3 9\n1 2 3 4 5 6 7 8 9\n", name="m.pgm")


def test_a_jpeg_by_any_name_is_found_in_a_folder():
    for suffix in (".jfif", ".jpe", ".avif", ".jp2", ".ppm", ".pgm", ".heic", ".tif"):
        assert suffix in SUFFIXES


def test_a_tiff_of_other_numbers_is_refused_with_those_that_are_read():
    _, tiff = cv2.imencode(".tiff", np.zeros((4, 6), np.float64))
    with pytest.raises(ImageError, match=r"d\.tif: a TIFF .*32-bit floating-point"):
        read_image(tiff.tobytes(), name="d.tif")


def test_the_pages_of_a_tiff_are_read_one_by_one():
    content = frames("TIFF")
    assert count_pages(content) == 3
    pages = [read_image(content, page=page) for page in (1, 2, 3)]
    assert [tuple(page.pixels[0, 0]) for page in pages] == list(COLOURS)
    assert len({page.key for page in pages}) == 3
    assert {page.note for page in pages} == {None}
    first = read_image(content)
    assert (first.key, first.note) == (pages[0].key, "only the first of its 3 pages was read")
    with pytest.raises(ImageError, match=r"t\.tif: there is no page 4: the file has 3 pages"):
        read_image(content, page=4, name="t.tif")
    with pytest.raises(InputError, match="a page is a whole number from 1, not 0"):
        read_image(content, page=0)


def test_a_single_page_needs_no_note(tmp_path):
    path = tmp_path / "one.tif"
    corners().save(path)
    assert count_pages(path) == 1
    assert read_image(path).note is None
    assert read_image(path, page=1).key == read_image(path).key
    with pytest.raises(ImageError, match="there is no page 2: the file has one page"):
        read_image(path, page=2)


@pytest.mark.parametrize("big", [False, True])
def test_smaller_copies_and_masks_are_no_pages(big):
    sizes = (40, 24), (20, 12), (40, 24), (8, 4)
    pages = [corners(size) for size in sizes]
    for page, kind in zip(pages, (0, 1, 4, 2), strict=True):
        page.encoderinfo = {"tiffinfo": {254: kind}}
    file = io.BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:], big_tiff=big)
    content = file.getvalue()
    assert count_pages(content) == 2
    assert read_image(content, page=2).size == (8, 4)


def test_a_tiff_whose_pages_go_round_in_a_circle_has_an_end():
    content = bytearray(encode(corners(), "TIFF"))
    first = int.from_bytes(content[4:8], "little")
    entries = int.from_bytes(content[first : first + 2], "little")
    end = first + 2 + 12 * entries
    content[end : end + 4] = content[4:8]
    assert count_pages(bytes(content)) == 1
    assert_corners(read_image(bytes(content)).pixels)


def test_more_pages_than_anybody_scans_are_refused_at_once():
    first = encode(corners(), "TIFF")
    start = len(first) + len(first) % 2
    # Each directory has no entry, and names the next, 6 bytes on.
    moved = b"".join(
        b"\0\0" + (start + 6 * number).to_bytes(4, "little") for number in range(1, 10_002)
    )
    content = bytearray(first.ljust(start, b"\0") + moved)
    at = int.from_bytes(content[4:8], "little")
    end = at + 2 + 12 * int.from_bytes(content[at : at + 2], "little")
    content[end : end + 4] = start.to_bytes(4, "little")
    with pytest.raises(ImageError, match=r"p\.tif: it has more than 10,000 pages"):
        read_image(bytes(content), name="p.tif")


@pytest.mark.parametrize("fmt", ["GIF", "WEBP", "PNG", "AVIF", "HEIF"])
def test_of_an_animation_the_first_frame_is_read_with_a_note(fmt):
    content = frames(fmt)
    image = read_image(content)
    np.testing.assert_allclose(image.pixels[0, 0], RED, atol=12)
    assert image.note == "only the first of its frames was read"
    assert count_pages(content) == 1


def test_the_previews_in_a_photograph_are_not_told():
    assert read_image(frames("MPO")).note is None


@pytest.mark.parametrize(
    ("fmt", "options"),
    [
        ("WEBP", {"quality": 50}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {"quality": 40}),
        ("HEIF", {"quality": 40}),
        ("JPEG", {"quality": 40}),
        ("JPEG2000", {}),
        ("JPEG2000", {"irreversible": True, "quality_layers": [30]}),
        ("TIFF", {"compression": "jpeg"}),
    ],
)
def test_a_codecs_blur_is_not_the_object(fmt, options):
    drawn = np.zeros((200, 200), np.uint8)
    cv2.circle(drawn, (100, 100), 60, 255, -1)
    mask = read_mask(encode(Image.fromarray(drawn).convert("RGB"), fmt, **options))
    assert (mask != (drawn > 0)).sum() < 0.002 * (drawn > 0).sum()


def test_in_an_animated_lossy_webp_the_frames_tell_how_the_mask_is_read():
    drawn = np.zeros((200, 200), np.uint8)
    cv2.circle(drawn, (100, 100), 60, 255, -1)
    one, two = Image.fromarray(drawn).convert("RGB"), Image.new("RGB", (200, 200))
    content = encode(one, "WEBP", save_all=True, append_images=[two], quality=50)
    assert (read_mask(content) != (drawn > 0)).sum() < 30


def test_faint_masks_in_lossless_files_stay_exact():
    faint = Image.new("L", (6, 4), 1)
    for fmt, options in (("JPEG2000", {}), ("TIFF", {}), ("PPM", {})):
        assert read_mask(encode(faint, fmt, **options)).all()
    assert read_mask(encode(faint.convert("RGB"), "WEBP", lossless=True)).all()


def test_a_mask_of_numbers_takes_no_nan_for_the_object():
    values = np.array([[0, 0.5, np.nan, -1, np.inf]], np.float32)
    mask = read_mask(encode(Image.fromarray(values), "TIFF"))
    assert mask.tolist() == [[False, True, False, True, True]]


def test_damaged_metadata_prints_nothing(tmp_path):
    # In a process of its own: pytest itself decides about warnings.
    exif = b"Exif\0\0II*\0\x08\0\0\0\x05\0\x12\x01\x03\0\x01\0\0\0\x01\0\0\0"  # 5 entries, 1 there
    path = tmp_path / "corrupt.jpg"
    corners().save(path, exif=exif)
    code = "import sys; from pam_labeling.media import read_image; read_image(sys.argv[1])"
    run = [sys.executable, "-W", "default", "-c", code, str(path)]
    done = subprocess.run(run, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    with pytest.warns(UserWarning, match="Corrupt EXIF"), Image.open(path) as image:
        image.getexif()
