"""Masks as the PNGs of Label Studio's `Bitmask`: black pixels, transparent outside the mask."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from label_studio_backend.media.inline_media import read_data_uri
from label_studio_backend.media.urls import MediaError
from label_studio_backend.translation.geometry import GeometryError

if TYPE_CHECKING:
    from label_studio_backend.translation.geometry import Mask, Size

_ALPHA = bytes([0, 255])  # of the two colours, both black


def write_bitmask(mask: Mask) -> str:
    """A mask, bool `(height, width)` of the whole image, as a `data:` URI with one bit a pixel."""
    image = Image.fromarray(mask.view(np.uint8))
    image.putpalette([0] * 6)
    file = io.BytesIO()
    image.save(file, "PNG", bits=1, transparency=_ALPHA)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def read_bitmask(uri: object, size: Size) -> Mask:
    """The mask in a `data:` URI, bool `(height, width)`: what is not fully transparent.

    Args:
        uri: a result's `value.imageDataURL`; untrusted.
        size: `(width, height)` of the upright image in pixels; the PNG may be smaller.

    Raises:
        GeometryError: it is no PNG in a `data:` URI, damaged, or larger than the image.
    """
    if not isinstance(uri, str) or not uri:
        raise GeometryError("The bitmask has no mask yet.")
    try:
        # A pixel of a PNG has at most 8 bytes.
        content = read_data_uri(uri, 8 * size[0] * size[1] + 65_536).read()
        with Image.open(io.BytesIO(content), formats=("PNG",)) as image:
            width, height = image.size
            if width * height <= size[0] * size[1]:
                alpha = np.asarray(image.convert("LA").getchannel("A"))  # [height, width]
                return alpha > 0
    except MediaError as error:
        raise GeometryError(f"The bitmask cannot be read: {error}.") from error
    except Exception as error:  # Pillow's decoders raise nearly anything on damaged bytes
        raise GeometryError("The bitmask is no PNG, or a damaged one.") from error
    raise GeometryError(
        f"The bitmask has {width} x {height} pixels, more than the image of {size[0]} x {size[1]}."
    )
