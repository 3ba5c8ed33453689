"""Chromium turns images by EXIF as `read_image` does, so that clicks meet what they are made on."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
from PIL import ExifTags, Image

from pam_labeling.media import read_image
from tests.e2e.label_studio.servers import chromium
from tests.pam_labeling.test_media import (
    XMP,
    avif_turned_by_exif_alone,
    png_turned_after_its_pixels,
)

_SHOWN = """async address => {
    const image = new Image()
    image.src = address
    await image.decode()
    const canvas = document.createElement("canvas")
    canvas.width = image.naturalWidth
    canvas.height = image.naturalHeight
    const context = canvas.getContext("2d")
    context.drawImage(image, 0, 0)
    const {data, width, height} = context.getImageData(0, 0, canvas.width, canvas.height)
    return [width, height, Array.from(data)]
}"""


@pytest.fixture(scope="module")
def shown(playwright):
    """What the browser shows of a file, uint8 `(height, width, 3)`."""
    browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
    page = browser.new_page()

    def show(content, kind):
        address = f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
        width, height, data = page.evaluate(_SHOWN, address)
        return np.array(data, np.uint8).reshape(height, width, 4)[..., :3]

    yield show
    browser.close()


def stored(fmt, **options):
    pixels = np.zeros((40, 60, 3), np.uint8)
    pixels[:16, :20] = 255, 0, 0
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, fmt, **options)
    return file.getvalue()


def turned(fmt, orientation):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    return stored(fmt, exif=exif, quality=95, lossless=True)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("fmt", ["JPEG", "MPO", "PNG", "WEBP", "AVIF"])
def test_exif_turns_an_image_as_in_the_browser(shown, fmt, orientation):
    content = turned(fmt, orientation)
    seen = shown(content, "jpeg" if fmt == "MPO" else fmt.lower())
    assert_same(read_image(content).pixels, seen)


@pytest.mark.parametrize("fmt", ["JPEG", "WEBP", "AVIF"])
def test_xmp_turns_no_image(shown, fmt):
    content = stored(fmt, xmp=XMP)
    assert_same(read_image(content).pixels, shown(content, fmt.lower()))


def test_exif_after_the_pixels_turns_no_png(shown):
    content = png_turned_after_its_pixels()
    assert_same(read_image(content).pixels, shown(content, "png"))


def test_exif_alone_turns_no_avif(shown):
    content = avif_turned_by_exif_alone()
    assert_same(read_image(content).pixels, shown(content, "avif"))


def assert_same(pixels, seen):
    assert pixels.shape == seen.shape
    # Two decoders of JPEG differ a little; what is turned another way differs much.
    assert np.abs(pixels.astype(int) - seen).mean() < 5
