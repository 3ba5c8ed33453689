"""The formats that are read, and what their files say that Pillow does not tell."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from functools import cache
from typing import Literal

import numpy as np
from PIL import Image, features

from pam_labeling.errors import ImageError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF", "AVIF", "HEIF", "JPEG2000", "PPM")
"""Pillow's names of the formats; PPM stands for PBM, PGM, PNM and PFM, too."""

SUFFIXES = (
    *(".png", ".apng", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".bmp", ".gif", ".tif", ".tiff"),
    *(".avif", ".avifs", ".heic", ".heif", ".hif", ".jp2", ".j2k", ".jpf", ".jpx", ".j2c", ".jpc"),
    *(".pbm", ".pgm", ".ppm", ".pnm", ".pfm"),
)
"""The endings of such files, in lower case."""

# AVIF and HEIC share a container, whose first box lists what is inside. Pillow would try both.
_BOXED = ("AVIF", "HEIF")
_AVIF_BRANDS = frozenset({b"avif", b"avis"})
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"})
_MOST_DIRECTORIES = 10_000
_NEW_SUBFILE_TYPE = 254  # the tag of a TIFF that says what a page is
_NO_PAGE = 0b101  # a smaller copy of another page, or its mask
_MOST_PLAIN = 1 << 22  # pixels of a map in digits, which Pillow reads one by one
_WHITE = "white of a portable map"
_CODESTREAM = b"\xff\x4f\xff\x51"  # JPEG 2000 begins with its sizes
_PRECISION = 42  # bytes from there to the bits of the first component
_CODING = b"\xff\x52"
_TRANSFORM = 13  # bytes from there to the kind of wavelet; 0 is the one that loses something


def formats_of(content: bytes, name: str) -> tuple[str, ...]:
    """The formats that this file may have, of those that can be read here.

    Raises:
        ImageError: the file needs a decoder that is not installed; the message says which.
    """
    brands = _brands(content)
    if brands & _AVIF_BRANDS:
        if not _reads_avif():
            raise ImageError(f"{name}: AVIF is read with Pillow 11.3 or newer; update Pillow")
        return ("AVIF",)
    if brands & _HEIF_BRANDS:
        _add_heif(name)
        return ("HEIF",)
    return tuple(known for known in FORMATS if known not in _BOXED)


def portable_map(image: Image.Image, content: bytes, name: str) -> Image.Image:
    """A portable map, decoded here where Pillow would take a second for two million pixels.

    Raises:
        ImageError: it is a large one written in digits.
        ValueError: it is truncated.
    """
    decoder, _, offset, arguments = image.tile[0]  # type: ignore[attr-defined]  # of an ImageFile
    width, height = image.size
    if decoder == "ppm_plain" and width * height > _MOST_PLAIN:
        raise ImageError(
            f"{name}: a portable map in digits of more than {_MOST_PLAIN:,} pixels; save it in "
            "binary (P4, P5 or P6)"
        )
    if decoder != "ppm":
        return image
    white = int(arguments[-1])
    bands = len(image.getbands())
    kind = ">u2" if white > 255 else "u1"
    values = np.frombuffer(content, kind, width * height * bands, offset).reshape(height, -1)
    if image.mode == "I":
        decoded = Image.fromarray(np.minimum(values, white).astype(np.uint16))
    else:
        eight = np.rint(np.arange(65536) / white * 255).clip(0, 255).astype(np.uint8)
        rows = [eight[row] for row in values]
        shape = (height, width, bands) if bands > 1 else (height, width)
        decoded = Image.fromarray(np.stack(rows).reshape(shape))
    decoded.format = image.format
    decoded.info[_WHITE] = white
    return decoded


def is_lossy(image: Image.Image, content: bytes) -> bool:
    """Whether black is not exactly 0 in this file, because its codec blurs edges."""
    if image.format == "WEBP":
        return b"VP8L" not in _webp_chunks(content)
    if image.format == "JPEG2000":
        coding = content.find(_CODING, content.find(_CODESTREAM)) + _TRANSFORM
        return content[coding : coding + 1] == b"\0"
    if image.format == "TIFF":
        return image.info.get("compression") in ("jpeg", "tiff_jpeg", "webp")
    return image.format in ("JPEG", "MPO", *_BOXED)


def declared_white(image: Image.Image, content: bytes) -> int | None:
    """The value of white in grey of more than 8 bits, if the file says it; else None.

    A depth of 16 bits says nothing: cameras write their 10, 12 or 14 bits into such files.
    """
    if image.format == "PPM":
        plain = getattr(image, "tile", ())
        white = int(plain[0][3][-1]) if plain and plain[0][0] == "ppm_plain" else None
        white = image.info.get(_WHITE, white)
        return None if white == 65535 else white
    if image.format == "JPEG2000":
        place = content.find(_CODESTREAM) + _PRECISION
        bits = (content[place] & 0x7F) + 1
    elif image.format == "TIFF":
        bits = image.tag_v2.get(258, (16,))[0]  # type: ignore[attr-defined]  # BitsPerSample
    else:
        bits = 16
    return (1 << bits) - 1 if bits < 16 else None


def value_of_nothing(image: Image.Image) -> float | None:
    """The value of pixels that a TIFF or PNG declares to be without a value, or transparent."""
    if image.format == "TIFF":
        text = image.tag_v2.get(42113, "")  # type: ignore[attr-defined]  # GDAL_NODATA
        try:
            return float(str(text).strip(" \0"))
        except ValueError:
            return None
    transparent = image.info.get("transparency")
    return transparent if isinstance(transparent, int) else None


def page_places(content: bytes) -> list[int]:
    """The places of a TIFF's pages among its directories.

    Smaller copies of a page, and masks, are no pages. Only the head of each directory is read: a
    file may name thousands of large ones.

    Raises:
        ValueError: there are more than `_MOST_DIRECTORIES`.
    """
    order: Literal["little", "big"] = "little" if content[:2] == b"II" else "big"

    def number(at: int, size: int) -> int:
        return int.from_bytes(content[at : at + size], order)

    is_big = number(2, 2) == 43
    word, entry, counter = (8, 20, 8) if is_big else (4, 12, 2)
    places, seen, at = [], set[int](), number(8 if is_big else 4, word)
    while at not in seen and at > 0:
        if len(seen) == _MOST_DIRECTORIES:
            raise ValueError(f"it has more than {_MOST_DIRECTORIES:,} pages; split it")
        first = at + counter  # the entries are sorted, and this tag is the least
        kind = number(first + word + 4, 4) if number(first, 2) == _NEW_SUBFILE_TYPE else 0
        if not kind & _NO_PAGE:
            places.append(len(seen))
        seen.add(at)
        at = number(first + entry * number(at, counter), word)
    return places or [0]


def _brands(content: bytes) -> set[bytes]:
    if content[4:8] != b"ftyp":
        return set()
    stop = min(int.from_bytes(content[:4], "big"), 256)
    return {content[at : at + 4] for at in range(8, stop, 4)}


@cache
def _reads_avif() -> bool:
    try:
        return bool(features.check_module("avif"))
    except ValueError:  # an older Pillow does not know the word
        return False


def _add_heif(name: str) -> None:
    try:
        heif = importlib.import_module("pillow_heif")
    except ImportError as error:
        raise ImageError(
            f'{name}: HEIC is read with the extra "heic": run `pip install pillow-heif`, or '
            "convert the image to PNG or JPEG"
        ) from error
    if "HEIF" not in Image.OPEN:
        heif.register_heif_opener()


def _webp_chunks(content: bytes) -> Iterator[bytes]:
    """The names of a WebP's chunks, also of those inside the frames of an animation."""
    at = 12
    while at + 8 <= len(content):
        name, size = content[at : at + 4], int.from_bytes(content[at + 4 : at + 8], "little")
        yield name
        at += 24 if name == b"ANMF" else 8 + size + size % 2
