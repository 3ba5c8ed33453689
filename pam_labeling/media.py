"""Read image files into the form that PAM needs: upright 8-bit RGB.

Files are not trusted: only common raster formats are opened, up to a limit of pixels. Every error
of a decoder becomes an `ImageError` that names the file.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from pam_labeling.errors import ImageError

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "GIF")
SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif")

MAX_PIXELS = 89_478_485
"""The default and highest limit of pixels: Pillow warns about larger images."""

_BYTES_PER_PIXEL = 8  # a raw image of four 16-bit channels; no sensible file is larger
# Functions that turn stored pixels, (h, w) or (h, w, 3), upright, by EXIF orientation.
_UPRIGHT: dict[int, Callable[[npt.NDArray[Any]], npt.NDArray[Any]]] = {
    2: lambda array: array[:, ::-1],
    3: lambda array: array[::-1, ::-1],
    4: lambda array: array[::-1],
    5: lambda array: array.swapaxes(0, 1),
    6: lambda array: np.rot90(array, -1),
    7: lambda array: array[::-1, ::-1].swapaxes(0, 1),
    8: lambda array: np.rot90(array, 1),
}

T = TypeVar("T", bound=np.generic)
_Convert: TypeAlias = "Callable[[Image.Image, str], npt.NDArray[T]]"


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """An upright image. Build it with `read_image` or `from_pixels`.

    Attributes:
        pixels: uint8 `(height, width, 3)`, RGB, upright, read-only.
        key: a digest of the content; images of equal content have equal keys.
        name: what messages call the image, usually the file's path.
    """

    pixels: npt.NDArray[np.uint8] = field(repr=False)
    key: str
    name: str

    def __post_init__(self) -> None:
        self.pixels.setflags(write=False)

    @property
    def size(self) -> tuple[int, int]:
        """`(width, height)` in pixels."""
        return self.pixels.shape[1], self.pixels.shape[0]

    @classmethod
    def from_pixels(cls, pixels: npt.NDArray[np.uint8], *, name: str = "image") -> LoadedImage:
        """A copy of an upright RGB array, uint8 `(height, width, 3)`.

        Raises:
            ImageError: the array has another dtype or shape, or no pixels.
        """
        right = pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3
        if not right or pixels.size == 0:
            raise ImageError(
                f"{name}: pixels must be a uint8 array (height, width, 3) of RGB, "
                f"not {pixels.dtype} {pixels.shape}"
            )
        copy = np.array(pixels, order="C")
        digest = content_digest(repr(copy.shape).encode())
        digest.update(copy.data)
        return cls(copy, digest.hexdigest(), name)


def content_digest(content: bytes = b"") -> blake2b:
    """A hash whose `hexdigest()` is the key of an image file with this content.

    To read a file in parts, call `update` with each part. Give the key to `read_image`, which then
    does not hash the content again.
    """
    return blake2b(content, digest_size=16)


def read_image(
    source: str | os.PathLike[str] | bytes,
    *,
    key: str | None = None,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
) -> LoadedImage:
    """Read an image file, or the bytes of one, into upright 8-bit RGB.

    EXIF orientation is applied. Transparent parts become white. An animation gives its first frame.
    16-bit grey is scaled by its full range (65,535 is white). CMYK is converted without colour
    profiles, which are ignored.

    Args:
        source: the file's path, or its content.
        key: the content's digest (`content_digest`), if it is known already.
        name: what messages call the image; the path by default.
        max_pixels: the largest width x height that is read.

    Raises:
        ImageError: the file is missing, empty, damaged, truncated, larger than the limit, not one
            of `FORMATS`, or of a pixel type without a known range of brightness.
    """
    name, content = _content(source, name, max_pixels)
    pixels = _read(content, name, max_pixels, _to_rgb)
    return LoadedImage(pixels, key or content_digest(content).hexdigest(), name)


def read_mask(
    source: str | os.PathLike[str] | bytes, *, name: str | None = None, max_pixels: int = MAX_PIXELS
) -> npt.NDArray[np.bool_]:
    """Read an image file as a mask: bool `(height, width)`, upright.

    A pixel belongs to the mask if it is neither black nor transparent. In a JPEG, where black is
    not exactly 0, the pixel must be brighter than half.

    Args:
        source: the file's path, or its content.
        name: what messages call the mask; the path by default.
        max_pixels: the largest width x height that is read.

    Raises:
        ImageError: as `read_image` does.
    """
    name, content = _content(source, name, max_pixels)
    return _read(content, name, max_pixels, _to_mask)


def _content(
    source: str | os.PathLike[str] | bytes, name: str | None, max_pixels: int
) -> tuple[str, bytes]:
    if not 1 <= max_pixels <= MAX_PIXELS:
        raise ValueError(f"max_pixels must be from 1 to {MAX_PIXELS}, not {max_pixels}")
    if isinstance(source, bytes):
        name, content = name or "image", source
    else:
        name = name or str(source)
        content = _read_file(Path(source), name, _BYTES_PER_PIXEL * max_pixels)
    if not content:
        raise ImageError(f"{name}: the file is empty (0 bytes); fetch or export it again")
    return name, content


def _read_file(path: Path, name: str, max_bytes: int) -> bytes:
    try:
        if path.is_dir():
            raise ImageError(f"{name}: this is a folder; name the image files in it")
        size = path.stat().st_size
        if not path.is_file():  # a pipe or a device might never end
            raise ImageError(f"{name}: not a regular file")
        if size > max_bytes:
            raise ImageError(
                f"{name}: the file has {size:,} bytes, but the limit is {max_bytes:,}; scale the "
                "image down"
            )
        return path.read_bytes()
    except ImageError:
        raise
    except FileNotFoundError as error:
        raise ImageError(f"{name}: there is no such file") from error
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        raise ImageError(f"{name}: cannot be read ({error})") from error


def _read(content: bytes, name: str, max_pixels: int, convert: _Convert[T]) -> npt.NDArray[T]:
    def too_large(found: object) -> ImageError:
        return ImageError(
            f"{name}: the image is too large ({found}); the limit is {max_pixels:,} pixels: "
            "scale it down or cut it into tiles"
        )

    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            width, height = image.size
            if width * height > max_pixels:
                raise too_large(f"{width} x {height} pixels")
            # Load before reading the orientation: Pillow turns a TIFF upright as it loads it, and
            # then drops its orientation.
            image.load()
            turn = _UPRIGHT.get(_orientation(image), np.asarray)
            return np.ascontiguousarray(turn(convert(image, name)))
    except ImageError:
        raise
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise too_large(error) from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"{name}: not an image in a known format ({', '.join(FORMATS)}); "
            "convert it to PNG or JPEG"
        ) from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
        raise ImageError(
            f"{name}: the image is damaged or truncated ({error}); fetch or export it again"
        ) from error


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - with damaged EXIF, show as stored, like browsers
        return 1


def _to_mask(image: Image.Image, _name: str) -> npt.NDArray[np.bool_]:
    """The mask, bool `(height, width)`, not yet upright."""
    if image.mode[0] in "IF":  # 16 or 32 bits a pixel: convert("RGBA") would clip large values
        return cast("npt.NDArray[np.bool_]", np.asarray(image) != 0)
    pixels = np.asarray(image.convert("RGBA"))  # [height, width, 4]
    darkest = 127 if image.format == "JPEG" else 0
    return (pixels[..., :3] > darkest).any(axis=2) & (pixels[..., 3] > 0)


def _to_rgb(image: Image.Image, name: str) -> npt.NDArray[np.uint8]:
    """The pixels, uint8 `(height, width, 3)`, RGB, not yet upright."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format == "PNG"):
        values = np.asarray(image).astype(np.uint32)  # [height, width]
        grey = ((values + 128) // 257).astype(np.uint8)  # rounded: 65,535 is 255
        transparent = image.info.get("transparency")
        if isinstance(transparent, int):
            grey[values == transparent] = 255  # white, like every transparent pixel
        return np.repeat(grey[..., None], 3, axis=2)  # [height, width, 3]
    if image.mode in ("I", "F"):
        raise ImageError(
            f"{name}: 32-bit pixels have no fixed range of brightness; "
            "convert the image to 8 or 16 bits"
        )
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))
