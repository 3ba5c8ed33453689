"""Read image files, or the pages of one, into upright 8-bit RGB.

Files are not trusted: only common raster formats are opened, up to a limit of pixels. Every error
of a decoder becomes an `ImageError` that names the file.
"""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from pam_labeling.errors import ImageError, InputError
from pam_labeling.media.formats import FORMATS, formats_of, is_lossy, page_places, portable_map
from pam_labeling.media.grey import (
    AUTO,
    DeepGrey,
    GreyRange,
    Shown,
    find_range,
    is_deep,
    parse_range,
)
from pam_labeling.media.loaded_image import FROM_MEMORY, LoadedImage, content_digest

# Pillow's own remarks about damaged metadata, which nothing here depends on. Its warning about
# huge images has another class.
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.\w+ImagePlugin")

MAX_PIXELS = 89_478_485
"""The default and highest limit of pixels: Pillow warns about larger images."""

MAX_SIDE = 65_535
"""The longest side in pixels: that of a JPEG, and the longest that browsers show."""

# Browsers show a WebP as it is stored, whatever its EXIF says. MPO is a JPEG of several images.
# Of an AVIF Pillow gives its own turn (`irot`, `imir`) as if it were EXIF; an HEIC comes upright.
_TURNED_BY_BROWSERS = frozenset({"JPEG", "MPO", "PNG", "AVIF"})
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_BYTES_PER_PIXEL = 8  # a raw image of four 16-bit channels; no sensible file is larger
_STRIP = 1 << 22  # pixels that are converted at once
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
_Convert: TypeAlias = "Callable[[Image.Image], npt.NDArray[T]]"


def read_image(
    source: str | os.PathLike[str] | bytes,
    *,
    key: str | None = None,
    name: str | None = None,
    max_pixels: int = MAX_PIXELS,
    grey_range: GreyRange | str = AUTO,
    page: int | None = None,
) -> LoadedImage:
    """Read an image file, or the bytes of one, into upright 8-bit RGB.

    An image is turned by its EXIF orientation where browsers do so: a JPEG, and a PNG by its chunk
    eXIf, but no WebP. TIFF and HEIC, which browsers cannot show, are turned, too. Transparent parts
    become white. An animation gives its first frame. CMYK is converted without colour profiles,
    which are ignored. Grey of more than 8 bits is shown by `grey_range`; pixels without a value
    (NaN, or GDAL's "no data") are white.

    Args:
        source: the file's path, or its content.
        key: the content's digest (`content_digest`), if it is known already.
        name: what messages call the image; the path by default.
        max_pixels: the largest width x height that is read.
        grey_range: which values of grey of more than 8 bits are black and white, see `parse_range`;
            by default the depth is found from the greatest value, and the note says so.
        page: the page of a TIFF, from 1; None: the first, and the note says that there are more.

    Raises:
        ImageError: the file is missing, empty, damaged, truncated, larger than the limit, not one
            of `FORMATS`, or has no such page.
        InputError: `grey_range` or `page` is something else.
    """
    try:
        wanted = parse_range(grey_range)
    except InputError as error:
        raise InputError(f"grey_range {error}") from error
    if page is not None and page < 1:
        raise InputError(f"a page is a whole number from 1, not {page!r}")
    name, content = _content(source, name, max_pixels)
    key = key or content_digest(content).hexdigest()
    notes: list[str | None] = []
    with _opened(content, name) as file:
        notes.append(_turn_to(file, content, page, name))
        image = _mapped(file, content, name, max_pixels)
        grey = DeepGrey.of(image, content) if is_deep(image) else None
        turn = _load(image, name, max_pixels)
        convert = _to_rgb
        if grey is not None:
            shown = find_range(wanted, grey, _strips(image))
            notes.append(shown.note)
            convert = partial(_grey_to_rgb, grey=grey, shown=shown)
            # The same values look otherwise in another range.
            key += "" if wanted == AUTO else f"-{wanted}"
        pixels = np.ascontiguousarray(turn(_in_strips(image, convert)))
    key += f"-page-{page}" if page and page > 1 else ""
    return LoadedImage(pixels, key, name, "; ".join(filter(None, notes)) or None)


def read_mask(
    source: str | os.PathLike[str] | bytes, *, name: str | None = None, max_pixels: int = MAX_PIXELS
) -> npt.NDArray[np.bool_]:
    """Read an image file as a mask: bool `(height, width)`, upright.

    A pixel belongs to the mask if it is neither black nor transparent. In a lossy file (JPEG, AVIF,
    HEIC, most WebP), where black is not exactly 0, the pixel must be brighter than half.

    Args:
        source: the file's path, or its content.
        name: what messages call the mask; the path by default.
        max_pixels: the largest width x height that is read.

    Raises:
        ImageError: as `read_image` does.
    """
    name, content = _content(source, name, max_pixels)
    with _opened(content, name) as file:
        image = _mapped(file, content, name, max_pixels)
        convert = partial(_to_mask, darkest=127 if is_lossy(image, content) else 0)
        turn = _load(image, name, max_pixels)
        return np.ascontiguousarray(turn(_in_strips(image, convert)))


def count_pages(
    source: str | os.PathLike[str] | bytes, *, name: str | None = None, max_pixels: int = MAX_PIXELS
) -> int:
    """The number of pages that `read_image` reads from a file: of a TIFF, perhaps more than 1.

    The small copies and masks that some TIFFs hold beside a page are no pages, and neither are the
    frames of an animation.

    Args:
        source: the file's path, or its content.
        name: what messages call the image; the path by default.
        max_pixels: the largest page that will be read, as width x height.

    Raises:
        ImageError: as `read_image` does; the pages themselves are not decoded.
    """
    name, content = _content(source, name, max_pixels)
    with _opened(content, name) as image:
        return len(_pages(image, content, name))


def _content(
    source: str | os.PathLike[str] | bytes, name: str | None, max_pixels: int
) -> tuple[str, bytes]:
    if not 1 <= max_pixels <= MAX_PIXELS:
        raise ValueError(f"max_pixels must be from 1 to {MAX_PIXELS}, not {max_pixels}")
    if not isinstance(source, (str, bytes, os.PathLike)):
        raise ImageError(f"a file is a path or bytes, not {type(source).__name__}; {FROM_MEMORY}")
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


@contextmanager
def _opened(content: bytes, name: str) -> Iterator[Image.Image]:
    """An image that is not decoded yet; whatever is wrong with it becomes an `ImageError`."""
    formats = formats_of(content, name)
    try:
        with Image.open(io.BytesIO(content), formats=formats) as image:
            yield image
    except ImageError:
        raise
    except InputError as error:
        raise ImageError(f"{name}: {error}") from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name, error, MAX_PIXELS) from error
    except UnidentifiedImageError as error:
        if content[:4] in _TIFF:
            raise ImageError(
                f"{name}: a TIFF with pixels of this kind cannot be read; convert it to 8 or 16 "
                "bits, or to grey of 32-bit floating-point numbers"
            ) from error
        raise ImageError(
            f"{name}: not an image in a known format ({', '.join(FORMATS)}); "
            "convert it to PNG or JPEG"
        ) from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
        raise ImageError(
            f"{name}: the image is damaged or truncated ({error}); fetch or export it again"
        ) from error


def _too_large(name: str, found: object, max_pixels: int) -> ImageError:
    return ImageError(
        f"{name}: the image is too large ({found}); the limit is {max_pixels:,} pixels, and "
        f"{MAX_SIDE:,} on a side: scale it down or cut it into tiles"
    )


def _load(
    image: Image.Image, name: str, max_pixels: int
) -> Callable[[npt.NDArray[Any]], npt.NDArray[Any]]:
    """Decode an image of checked size, and return the function that turns it upright."""
    turn = _UPRIGHT.get(_orientation(image), np.asarray)
    image.load()  # Pillow turns a TIFF upright itself as it loads it
    _check_size(image, name, max_pixels)  # an HEIC may have announced less than it has
    return turn


def _check_size(image: Image.Image, name: str, max_pixels: int) -> None:
    width, height = image.size
    if width * height > max_pixels or max(width, height) > MAX_SIDE:
        raise _too_large(name, f"{width} x {height} pixels", max_pixels)


def _mapped(image: Image.Image, content: bytes, name: str, max_pixels: int) -> Image.Image:
    """The same image, or a portable map that is decoded already."""
    _check_size(image, name, max_pixels)
    return portable_map(image, content, name) if image.format == "PPM" else image


def _turn_to(image: Image.Image, content: bytes, page: int | None, name: str) -> str | None:
    """Go to a page of the file; what to tell about those that are not read."""
    places = _pages(image, content, name)
    if page is not None and page > len(places):
        count = "one page" if len(places) == 1 else f"{len(places):,} pages"
        raise ImageError(f"{name}: there is no page {page}: the file has {count}")
    if image.format == "TIFF":
        image.seek(places[(page or 1) - 1])
    if len(places) > 1 and page is None:
        return f"only the first of its {len(places):,} pages was read"
    # The other images of an MPO are previews, or the same view for another eye.
    if image.format not in ("TIFF", "MPO") and getattr(image, "is_animated", False):
        return "only the first of its frames was read"
    return None


def _pages(image: Image.Image, content: bytes, name: str) -> list[int]:
    """Where the pages are, among all that Pillow can go to."""
    if image.format != "TIFF":
        return [image.tell()]
    try:
        return page_places(content)
    except ValueError as error:
        raise ImageError(f"{name}: {error}") from error


def _strips(image: Image.Image) -> Iterator[Image.Image]:
    """Some rows at a time: Pillow makes copies, and keeps other threads waiting."""
    width, height = image.size
    rows = _STRIP // width
    if height <= rows:
        yield image
        return
    for top in range(0, height, rows):
        yield image.crop((0, top, width, min(top + rows, height)))


def _in_strips(image: Image.Image, convert: _Convert[T]) -> npt.NDArray[T]:
    parts = [convert(strip) for strip in _strips(image)]
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation of an image that is not loaded yet, if browsers apply it."""
    if image.format not in _TURNED_BY_BROWSERS:
        return 1
    try:
        # image.getexif() would also read XMP, and after loading what follows a PNG's pixels.
        exif = Image.Exif()
        exif.load(image.info.get("exif", b""))
        return int(exif.get(ExifTags.Base.Orientation, 1))
    except Exception:  # noqa: BLE001 - with damaged EXIF, show as stored, like browsers
        return 1


def _to_mask(image: Image.Image, *, darkest: int) -> npt.NDArray[np.bool_]:
    """The mask, bool `(height, width)`, not yet upright."""
    if is_deep(image):  # convert("RGBA") would clip large values
        values = np.asarray(image)
        return cast("npt.NDArray[np.bool_]", (values != 0) & ~np.isnan(values))
    pixels = np.asarray(image.convert("RGBA"))  # [height, width, 4]
    return (pixels[..., :3] > darkest).any(axis=2) & (pixels[..., 3] > darkest)


def _to_rgb(image: Image.Image) -> npt.NDArray[np.uint8]:
    """The pixels, uint8 `(height, width, 3)`, RGB, not yet upright."""
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return np.array(image.convert("RGB"))


def _grey_to_rgb(image: Image.Image, *, grey: DeepGrey, shown: Shown) -> npt.NDArray[np.uint8]:
    """The same for grey of more than 8 bits."""
    values = grey.values(image)
    eight = shown.grey(values, grey.missing(values))  # [height, width]
    return np.repeat(eight[..., None], 3, axis=2)
