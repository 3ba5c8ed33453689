"""Small images, encoded."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pillow_heif
from PIL import Image

pillow_heif.register_heif_opener()  # to write such files

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def corners(size=(40, 24)):
    """Red, green / blue, white quarters, so that every turn and flip shows."""
    pixels = np.empty((size[1], size[0], 3), dtype=np.uint8)
    half = size[1] // 2, size[0] // 2
    pixels[: half[0], : half[1]], pixels[: half[0], half[1] :] = RED, GREEN
    pixels[half[0] :, : half[1]], pixels[half[0] :, half[1] :] = BLUE, WHITE
    return Image.fromarray(pixels)


def encode(image, fmt, **options):
    buffer = io.BytesIO()
    image.save(buffer, fmt, **options)
    return buffer.getvalue()


def raw_png(width, height, depth, colour_type, data, *chunks):
    """A PNG as Pillow cannot write it, from its raw scan lines."""

    def chunk(kind, body):
        checksum = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)

    header = struct.pack(">IIBBBBB", width, height, depth, colour_type, 0, 0, 0)
    parts = [chunk(b"IHDR", header), *(chunk(*part) for part in chunks)]
    parts += [chunk(b"IDAT", zlib.compress(data)), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def assert_corners(pixels, tolerance=0):
    found = pixels[[4, 4, -5, -5], [4, -5, 4, -5]].astype(int)
    np.testing.assert_allclose(found, [RED, GREEN, BLUE, WHITE], atol=tolerance)
