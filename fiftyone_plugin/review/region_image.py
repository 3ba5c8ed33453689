"""Draw a close-up of one region: the image around it, with its outline."""

from __future__ import annotations

import base64
import io
from typing import TYPE_CHECKING

import cv2
import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import numpy.typing as npt

    from pam_model import Prompt

    Pixels = npt.NDArray[np.uint8]

_MARGIN = 0.4  # of the region's longer side, on each side of it
_LEAST = 48  # pixels of margin: a point alone shows little
_LARGEST = 4.0  # times: a larger scale shows only squares
_LINE = (255, 232, 31)
_SHADOW = (20, 20, 20)


def draw_region(pixels: Pixels, prompt: Prompt, longest: int = 480) -> Pixels:
    """Cut an image around a region, scale it, and outline the region.

    The inside is not tinted, because captions describe colours.

    Args:
        pixels: uint8 `(H, W, 3)` RGB, the upright image.
        prompt: the region, in pixels of the image.
        longest: the result's longer side, in pixels; small regions are enlarged at most four times.

    Returns:
        uint8 `(h, w, 3)` RGB, `max(h, w) <= longest`.
    """
    x1, y1, x2, y2 = _window(prompt, (pixels.shape[1], pixels.shape[0]))
    scale = min(longest / max(x2 - x1, y2 - y1), _LARGEST)
    size = max(1, round((x2 - x1) * scale)), max(1, round((y2 - y1) * scale))
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    # (h, w, 3), a copy that may be drawn on
    canvas = np.array(cv2.resize(pixels[y1:y2, x1:x2], size, interpolation=method), np.uint8)
    factors = np.array(size) / (x2 - x1, y2 - y1)
    outlines = [
        ((outline - (x1, y1)) * factors).round().astype(np.int32) for outline in _outlines(prompt)
    ]
    points = ((prompt.points - (x1, y1)) * factors).round().astype(int).tolist()
    # A dark line beneath the bright one is visible on any background.
    for colour, width in ((_SHADOW, 9), (_LINE, 4)):
        cv2.polylines(canvas, outlines, isClosed=True, color=colour, thickness=width, lineType=16)
        for x, y in points:
            cv2.circle(canvas, (x, y), 3 + width, colour, thickness=-1, lineType=cv2.LINE_AA)
    return canvas


def data_address(pixels: Pixels) -> str:
    """An image, uint8 `(H, W, 3)` RGB, as a `data:` address with a JPEG inside."""
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(content.getvalue()).decode('ascii')}"


def _outlines(prompt: Prompt) -> list[npt.NDArray[np.float64]]:
    """The region's closed outlines, `(K, 2)` pixels each."""
    if prompt.mask is not None:
        # Contours run through the centres of pixels.
        found, _ = cv2.findContours(
            prompt.mask.astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE
        )
        return [outline[:, 0].astype(np.float64) + 0.5 for outline in found]
    if prompt.box is not None:
        x1, y1, x2, y2 = prompt.box
        middle, sides = ((x1 + x2) / 2, (y1 + y2) / 2), (x2 - x1, y2 - y1)
        return [cv2.boxPoints((middle, sides, prompt.angle)).astype(np.float64)]
    return []


def _window(prompt: Prompt, size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The part of the image to show, in whole pixels: x1, y1, x2, y2."""
    corners = np.concatenate([*_outlines(prompt), prompt.points])
    if not len(corners):
        return 0, 0, *size
    low, high = corners.min(axis=0), corners.max(axis=0)
    margin = max(_LEAST, _MARGIN * float((high - low).max()))
    x1, y1 = np.floor(low - margin).clip(0, np.array(size) - 1).astype(int).tolist()
    x2, y2 = np.ceil(high + margin).clip((x1 + 1, y1 + 1), size).astype(int).tolist()
    return x1, y1, x2, y2
