"""Convert FiftyOne's instance masks: a Detection stores its mask in its box's coordinates.

A mask of any resolution stretches over the box: cell (row, column) of a mask `(h, w)` covers the
fraction row / h to (row + 1) / h of the box's height, and likewise of its width. A pixel belongs to
the mask if its centre lies in a cell that does, so that a mask of one cell per pixel is exact.
"""

from __future__ import annotations

import math
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from ..errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy.typing as npt

    from pam_labeling.regions import Region

    Mask = npt.NDArray[np.bool_]

Box = tuple[float, float, float, float]


def pixel_box(bounding_box: Sequence[float], size: tuple[int, int]) -> Box:
    """`[x, y, width, height]` in fractions as `(x1, y1, x2, y2)` in pixels of `size`.

    Raises:
        PluginError: the box is not four finite numbers, or its width or height is not above 0.
    """
    try:
        x, y, width, height = (float(value) for value in bounding_box)
    except (TypeError, ValueError) as error:
        raise PluginError(f"its bounding box is not four numbers: {bounding_box!r}") from error
    if not all(math.isfinite(value) for value in (x, y, width, height)):
        raise PluginError("its bounding box has a number that is not finite")
    if width <= 0 or height <= 0:
        raise PluginError(f"its bounding box is empty ({width:g} wide, {height:g} high)")
    return x * size[0], y * size[1], (x + width) * size[0], (y + height) * size[1]


def relative_box(box: Sequence[float], size: tuple[int, int]) -> list[float]:
    """`(x1, y1, x2, y2)` in pixels of `size` as `[x, y, width, height]` in fractions."""
    x1, y1, x2, y2 = box
    width, height = size
    return [x1 / width, y1 / height, (x2 - x1) / width, (y2 - y1) / height]


def place_mask(mask: npt.NDArray[Any], box: Box, size: tuple[int, int]) -> Mask:
    """Convert a mask in a box's coordinates to a mask of the image, bool `(height, width)`.

    Args:
        mask: `(h, w)` or `(h, w, 1)` of any resolution and dtype; values other than 0 belong to it.
        box: `(x1, y1, x2, y2)` in pixels; it may extend beyond the image.
        size: `(width, height)` of the image in pixels.

    Raises:
        PluginError: the mask has another shape.
    """
    if mask.ndim == 3 and mask.shape[2] == 1:
        mask = mask[:, :, 0]
    if mask.ndim != 2 or mask.size == 0:
        raise PluginError(f"its mask has the shape {mask.shape}, not (height, width)")
    # Each pixel of the box looks up its cell, so that no pixel is missed or counted twice.
    columns, left = _cells(box[0], box[2], mask.shape[1], size[0])
    rows, top = _cells(box[1], box[3], mask.shape[0], size[1])
    placed = np.zeros((size[1], size[0]), dtype=np.bool_)
    placed[top : top + len(rows), left : left + len(columns)] = mask[np.ix_(rows, columns)] != 0
    return placed


def mask_in_box(region: Region, box: Box) -> Mask:
    """The part of a region in a box, in the box's coordinates, about one cell per pixel.

    Args:
        region: the region.
        box: `(x1, y1, x2, y2)` in pixels of the region's image; it may extend beyond it.

    Raises:
        PluginError: no part of the region is in the box.
    """
    # Counted from the corner of the crop; those outside it stay False.
    columns = _pixels(box[0], box[2]) - region.box[0]
    rows = _pixels(box[1], box[3]) - region.box[1]
    height, width = region.crop.shape
    inside_x, inside_y = (columns >= 0) & (columns < width), (rows >= 0) & (rows < height)
    mask = np.zeros((len(rows), len(columns)), dtype=np.bool_)
    mask[np.ix_(inside_y, inside_x)] = region.crop[np.ix_(rows[inside_y], columns[inside_x])]
    if not mask.any():
        raise PluginError("no part of the mask is in the box, which must not change")
    return mask


def save_mask(mask: Mask, path: Path) -> Path:
    """Write a mask as a PNG of 0 and 255, and return its path.

    An existing file is never replaced: if the name is taken, a number is added to it.

    Raises:
        PluginError: the folder cannot be written to.
    """
    number = 1
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            numbered = path if number == 1 else path.with_stem(f"{path.stem}-{number}")
            # "x", because two workers may choose the same name at the same moment.
            with suppress(FileExistsError), numbered.open("xb") as file:
                Image.fromarray(mask.astype(np.uint8) * 255).save(file, format="PNG")
                return numbered
            number += 1
    except OSError as error:
        raise PluginError(f"the mask cannot be written to {path}: {error}") from error


def _cells(low: float, high: float, cells: int, length: int) -> tuple[npt.NDArray[np.intp], int]:
    """The cell in which each pixel's centre lies, and the first of these pixels."""
    # Pixel i has its centre at i + 0.5.
    first = min(max(math.ceil(low - 0.5), 0), length)
    last = min(max(math.ceil(high - 0.5), first), length)
    centres = np.arange(first, last) + 0.5
    found = np.floor((centres - low) / (high - low) * cells).astype(np.intp)
    # Rounding may put the last centre just beyond the last cell.
    return np.clip(found, 0, cells - 1), first


def _pixels(low: float, high: float) -> npt.NDArray[np.intp]:
    """The pixel in which each cell's centre lies, with one cell per pixel of the box."""
    cells = max(1, round(high - low))
    centres = low + (np.arange(cells) + 0.5) * ((high - low) / cells)
    pixels: npt.NDArray[np.intp] = np.floor(centres).astype(np.intp)
    return pixels
