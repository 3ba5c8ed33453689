"""Show grey of more than 8 bits in 8: find which values are black and white.

Cameras of 10, 12 or 14 bits write files of 16 bits. The depth is found from the greatest value:
the images of one camera then look alike, and noise is not stretched to an image. Only numbers that
fit no depth (negative, floating-point or larger ones) are shown from the least to the greatest.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image

from pam_labeling.errors import InputError
from pam_labeling.media.formats import declared_white, value_of_nothing

GreyRange: TypeAlias = tuple[float, float] | Literal["auto", "full", "data"]
"""Which values are black and white: two numbers, or how to find them; see `parse_range`."""

AUTO: GreyRange = "auto"

_DEPTHS = (8, 10, 12, 14)  # bits; 16 need no finding
_FULL = 65535
_LEAST_SPREAD = 1 / 256  # of the greatest value: less is noise
_HINT = "PAM_RANGE or --range sets another range"
_BLACK_TO_WHITE = np.arange(_FULL + 1, dtype=np.uint16)

Values: TypeAlias = npt.NDArray[Any]


def parse_range(value: object) -> GreyRange:
    """The range of grey that a text such as "0,4095" or a pair of numbers means.

    "auto" finds the depth of each image (8, 10, 12, 14 or 16 bits), "full" shows 65,535 as white,
    and "data" shows each image from its least value to its greatest.

    Raises:
        InputError: it is something else; the message begins with "must be".
    """
    if value in ("auto", "full", "data"):
        return value
    parts = value.split(",") if isinstance(value, str) else value
    try:
        low, high = (float(part) for part in parts)  # type: ignore[attr-defined]  # checked here
    except (TypeError, ValueError):
        low, high = math.nan, math.nan
    if not -math.inf < low < high < math.inf:
        shown = value if isinstance(value, str) else repr(value)
        raise InputError(
            "must be LOW,HIGH (the values of black and white, such as 0,4095), auto, full or "
            f"data, not {shown}"
        )
    return low, high


def is_deep(image: Image.Image) -> bool:
    """Whether an image is grey of 16 or 32 bits a pixel."""
    return image.mode[0] in "IF"


@dataclass(frozen=True)
class DeepGrey:
    """Reads the values of a deep grey image, in the numbers that its file has.

    Attributes:
        dtype: uint16 or uint32 if the file holds such numbers, else None.
        white: the value of white that the file declares, or None.
        factor: how many times larger Pillow makes the values.
        nothing: the value of pixels without a value, or None.
    """

    dtype: type[np.generic] | None
    white: int | None
    factor: float
    nothing: float | None

    @classmethod
    def of(cls, image: Image.Image, content: bytes) -> DeepGrey:
        """What the file says; call it before the image is loaded."""
        dtype: type[np.generic] | None = None
        if image.mode.startswith("I;16") or (image.mode == "I" and image.format != "TIFF"):
            dtype = np.uint16
        elif image.mode == "I" and image.tag_v2.get(339, (1,))[0] == 1:  # type: ignore[attr-defined]  # SampleFormat
            dtype = np.uint32
        white = declared_white(image, content) if dtype is np.uint16 else None
        factor = 1.0
        if white is not None and image.mode == "I":  # a portable map in digits
            factor = _FULL / white
        if white is not None and image.format == "JPEG2000":
            factor = (_FULL + 1) / (white + 1)  # Pillow shifts the bits
        return cls(dtype, white, factor, value_of_nothing(image))

    def values(self, image: Image.Image) -> Values:
        """The values of an image or a strip of it, `(height, width)`."""
        values = np.asarray(image)
        if self.factor != 1:
            values = np.rint(values / self.factor)
        return values if self.dtype is None else values.astype(self.dtype, copy=False)

    def missing(self, values: Values) -> npt.NDArray[np.bool_]:
        """The pixels without a value, bool `(height, width)`."""
        missing = np.isnan(values) if values.dtype.kind == "f" else np.zeros(values.shape, np.bool_)
        if self.nothing is not None:
            with np.errstate(over="ignore"):  # it may be a number of 64 bits
                missing |= values == self.nothing
        return missing


@dataclass(frozen=True)
class Shown:
    """How the values of an image are shown.

    Attributes:
        low: the value of black; smaller ones are black, too.
        high: the value of white; larger ones are white, too.
        note: what to tell about it, or None.
    """

    low: float
    high: float
    note: str | None = None

    def grey(self, values: Values, missing: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
        """The values in 8 bits; what has no value is white, like every transparent pixel."""
        if values.dtype == np.uint16:
            grey = self._scaled(_BLACK_TO_WHITE)[values]
        else:
            grey = self._scaled(np.where(missing, self.low, values))
        grey[missing] = 255
        return grey

    def _scaled(self, values: Values) -> npt.NDArray[np.uint8]:
        share = (np.clip(values, self.low, self.high).astype(np.float64) - self.low) / (
            self.high - self.low
        )
        return np.rint(share * 255).astype(np.uint8)


def find_range(wanted: GreyRange, source: DeepGrey, strips: Iterable[Image.Image]) -> Shown:
    """How to show a deep grey image.

    Args:
        wanted: see `parse_range`.
        source: reads the image's values.
        strips: the image in parts; taken only if its values must be looked at.

    Raises:
        InputError: the image has no full range.
    """
    if isinstance(wanted, tuple):
        return Shown(*wanted)
    if wanted == "full":
        if source.dtype is not np.uint16:
            raise InputError(
                "only grey of 16 bits has a full range: set PAM_RANGE or --range to LOW,HIGH, auto "
                "or data"
            )
        return Shown(0, source.white or _FULL)
    if wanted == "auto" and source.white is not None:
        return Shown(0, source.white)
    low, high, is_whole, is_float = _extent(source, strips)
    if wanted == "auto":
        if is_float and low >= -1 and high <= 1:
            low = 0.0 if low >= 0 else -1.0
            return Shown(low, 1, f"its floating-point grey is shown from {low:g} to 1; {_HINT}")
        if is_whole and low >= 0 and high <= _FULL:
            return _depth(high)
    # A spread of nearly nothing is noise.
    spread = max(high - low, max(abs(low), abs(high)) * _LEAST_SPREAD) or 1.0
    high = low + spread
    note = (
        f"its grey is shown from {low:g} (black) to {high:g} (white), which its own values need; "
        f"{_HINT}"
    )
    return Shown(low, high, note if wanted == "auto" else None)


def _depth(high: float) -> Shown:
    for bits in _DEPTHS:
        if 0 < high < 1 << bits:
            white = (1 << bits) - 1
            note = f"its grey values end below {1 << bits:,}, so {white:,} is shown as white"
            return Shown(0, white, f"{note}; {_HINT}")
    return Shown(0, _FULL)


def _extent(source: DeepGrey, strips: Iterable[Image.Image]) -> tuple[float, float, bool, bool]:
    """The least and the greatest finite value; whether all are whole; whether they are floats."""
    low, high, is_whole, is_float = math.inf, -math.inf, True, False
    for strip in strips:
        values = source.values(strip)
        is_float = values.dtype.kind == "f"
        known = ~source.missing(values)
        if is_float:
            known &= np.isfinite(values)
        values = values[known]
        if values.size:
            low, high = min(low, float(values.min())), max(high, float(values.max()))
            is_whole = is_whole and not (is_float and (values != np.rint(values)).any())
    return (low, high, is_whole, is_float) if low <= high else (0.0, 0.0, True, is_float)
