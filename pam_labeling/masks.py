"""Convert masks to the forms that other programs read: COCO run lengths, boxes, polygons.

A mask is bool `(height, width)` in pixels of the upright image. Coordinates count from the
top-left corner of the top-left pixel, so that a mask of the whole image has the box
`(0, 0, width, height)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypedDict

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from pam_labeling.errors import MaskError
from pam_model import CroppedMask

Mask = npt.NDArray[np.bool_]


_LARGEST_TO_SPECK = 1000  # a component more than this many times smaller than the largest goes


class RLE(TypedDict):
    """A mask as COCO's compressed run lengths (column by column, starting with background).

    Attributes:
        size: `[height, width]` in pixels.
        counts: the run lengths in COCO's ASCII code.
    """

    size: list[int]
    counts: str


@dataclass(frozen=True, eq=False)
class Polygon:
    """One connected part of a mask, as outlines in pixels.

    Attributes:
        exterior: float32 `(K, 2)`, x and y, K >= 4 unless simplified.
        holes: outlines of the same form around the background inside it.
    """

    exterior: npt.NDArray[np.float32]
    holes: tuple[npt.NDArray[np.float32], ...] = ()


def remove_small_components(mask: CroppedMask) -> CroppedMask:
    """Remove components with less than a thousandth of the largest component's pixels.

    Segmenters leave a few stray pixels beside an object, and even one makes its box wrong. Pixels
    that touch at an edge or a corner belong to one component.
    """
    if mask.is_empty:
        return mask
    _, parts, facts, _ = cv2.connectedComponentsWithStats(mask.crop.view(np.uint8))
    # [components]; row 0 is the background. A thousand times two megapixels is no int32.
    areas = facts[1:, cv2.CC_STAT_AREA].astype(np.int64)
    kept = areas * _LARGEST_TO_SPECK >= areas.max()
    if kept.all():
        return mask
    chosen = np.concatenate([[False], kept])[parts]  # bool, of the crop's shape
    return CroppedMask.from_part(chosen, mask.box[:2], mask.size)


def encode_rle(mask: Mask) -> RLE:
    """Encode a mask, bool `(height, width)`, as COCO run lengths.

    Raises:
        MaskError: `mask` is not a two-dimensional bool array.
    """
    check_mask(mask)
    encoded: Any = coco_mask.encode(np.asfortranarray(mask, dtype=np.uint8))
    return {"size": list(mask.shape), "counts": bytes(encoded["counts"]).decode("ascii")}


def decode_rle(rle: Mapping[str, Any]) -> Mask:
    """Decode COCO run lengths `{size: [height, width], counts: text}` to bool `(height, width)`.

    Raises:
        MaskError: an entry is missing or wrong, or the runs do not add up to height x width.
    """
    try:
        height, width = (int(side) for side in rle["size"])
        counts = rle["counts"].encode("ascii")
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise MaskError(
            "run lengths must have the form {'size': [height, width], 'counts': text}"
        ) from error
    if height < 1 or width < 1:
        raise MaskError(f"run lengths need a size of at least 1 x 1, not {width} x {height}")
    # pycocotools is not used: if the runs are too short, it returns memory that was never written.
    runs = _run_lengths(counts)
    if (runs < 0).any() or runs.sum() != height * width:
        raise MaskError(f"the run lengths do not fill {width} x {height} pixels")
    # COCO counts down the columns, so filling row by row gives the transposed mask.
    columns = np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height)
    return np.ascontiguousarray(columns.T)


def polygons_of(mask: Mask, *, tolerance: float = 0.0) -> list[Polygon]:
    """The outlines of each connected part (8 neighbours) of a mask and of its holes.

    Outlines run a quarter of a pixel inside the mask's edge. With tolerance 0 they contain exactly
    the mask's pixel centres, and a single pixel still has an area.

    Args:
        mask: bool `(height, width)`.
        tolerance: how far, in pixels, a simplified outline may be from the exact one.

    Raises:
        MaskError: `mask` is not a two-dimensional bool array, or the tolerance is negative.
    """
    check_mask(mask)
    if not tolerance >= 0:
        raise MaskError(f"the tolerance must be 0 pixels or more, not {tolerance}")
    # findContours follows pixel centres, so a single pixel would have no area: double the mask.
    doubled = mask.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)  # [2 height, 2 width]
    outlines, hierarchy = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE)
    holes: dict[int, list[npt.NDArray[np.float32]]] = {}
    exteriors: dict[int, npt.NDArray[np.float32]] = {}
    for index, outline in enumerate(outlines):
        simple = cv2.approxPolyDP(outline, 2 * tolerance, closed=True) if tolerance else outline
        points = simple.reshape(-1, 2).astype(np.float32) * np.float32(0.5) + np.float32(0.25)
        parent = int(hierarchy[0][index][3])
        if parent < 0:  # no outline is around it
            exteriors[index] = points
        else:
            holes.setdefault(parent, []).append(points)
    return [Polygon(points, tuple(holes.get(index, ()))) for index, points in exteriors.items()]


def check_mask(mask: object) -> None:
    """Refuse anything but a mask.

    Raises:
        MaskError: `mask` is not a two-dimensional bool array.
    """
    if not isinstance(mask, np.ndarray) or mask.ndim != 2 or mask.dtype != np.bool_:
        found = (
            f"{mask.dtype} {mask.shape}" if isinstance(mask, np.ndarray) else type(mask).__name__
        )
        raise MaskError(f"a mask must be a bool array (height, width), not {found}")


def _run_lengths(counts: bytes) -> npt.NDArray[np.int64]:
    """Decode COCO's counts to run lengths, int64 `(runs,)`.

    Each character holds 5 bits of a number, the lowest bits first, and a flag for "more follows".
    From the fourth run on, a number is the difference from the run two places before.

    Raises:
        MaskError: a character is not in the code, or a number is cut off or too long.
    """
    codes = np.frombuffer(counts, dtype=np.uint8).astype(np.int64) - 48
    if len(codes) == 0 or codes.min() < 0 or codes.max() > 63 or codes[-1] & 0x20:
        raise MaskError("the counts are not COCO run lengths")
    last = np.flatnonzero((codes & 0x20) == 0)  # [runs]: where each number ends ...
    first = np.concatenate(([0], last[:-1] + 1))  # [runs]: ... and where it begins
    lengths = last - first + 1
    if lengths.max() > 7:  # 7 characters are 35 bits; no image has so many pixels
        raise MaskError("the counts hold a number that is too long")
    place = np.arange(len(codes)) - np.repeat(first, lengths)  # each character's, in its number
    values = np.add.reduceat((codes & 0x1F) << (5 * place), first)
    values -= np.where(codes[last] & 0x10, np.int64(1) << (5 * lengths), 0)  # the sign's bit
    # Run i is value i plus run i - 2. Nothing is added to the first run.
    values[1::2] = np.cumsum(values[1::2])
    values[2::2] = np.cumsum(values[2::2])
    return values
