"""An image in the form that PAM needs."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
import numpy.typing as npt

from pam_labeling.errors import ImageError

FROM_MEMORY = (
    "make one of an array with LoadedImage.from_pixels(array), and of a Pillow image with "
    'LoadedImage.from_pixels(np.array(image.convert("RGB")))'
)
"""How to make a `LoadedImage` of what is in memory, for messages."""


@dataclass(frozen=True, eq=False)
class LoadedImage:
    """An upright image. Build it with `read_image` or `from_pixels`.

    Attributes:
        pixels: uint8 `(height, width, 3)`, RGB, upright, read-only.
        key: a digest of the content; images of equal content have equal keys.
        name: what messages call the image, usually the file's path.
        note: what people must know about how it was read; None: nothing.
    """

    pixels: npt.NDArray[np.uint8] = field(repr=False)
    key: str
    name: str
    note: str | None = None

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
        if not isinstance(pixels, np.ndarray):
            raise ImageError(f"{name}: not an array but {type(pixels).__name__}; {FROM_MEMORY}")
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
