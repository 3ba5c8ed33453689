"""The shapes of regions as formats want them: masks, and outlines without holes.

COCO's polygons and YOLO's cannot have holes, and YOLO's have one outline for a region. A hole is
joined to the outline around it by a bridge, a line that is walked there and back. It runs inside
the region along a row of pixels, so it adds no pixel and takes none. A bridge between two parts
runs through the background, and readers that draw outlines paint its line.

Outlines are in half pixels while they are made: each pixel has two of them in each direction, so
that a region of one pixel has an area.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import cv2
import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from pam_labeling.documents import RegionEntry
from pam_labeling.masks import Mask, decode_rle

_Outline = npt.NDArray[np.int32]  # [K, 2], x and y in half pixels
Points = npt.NDArray[np.float64]  # [K, 2], x and y in pixels


class Outlines(NamedTuple):
    """A mask without holes, and what that took.

    Attributes:
        parts: the outline of each part in half pixels, int32 `[K, 2]`.
        holes: how many holes were joined to an outline by a bridge.
        joined: how many parts were joined to another by a bridge.
    """

    parts: list[_Outline]
    holes: int
    joined: int = 0

    @property
    def along_edges(self) -> list[Points]:
        """The outlines in pixels, a quarter pixel inside the mask's edge.

        pycocotools makes exactly the mask of them.
        """
        return [part.astype(np.float64) * 0.5 + 0.25 for part in self.parts]

    @property
    def through_pixels(self) -> list[Points]:
        """The outlines in pixels, through the pixels at the edge.

        Readers that draw outlines with OpenCV make exactly the mask of them (but for bridges
        between parts), whether they round coordinates or cut them off.
        """
        return [part // 2 + np.where(part % 2, 0.45, 0.05) for part in self.parts]


def mask_of(region: RegionEntry, size: tuple[int, int]) -> Mask | None:
    """The mask of a region, bool `(height, width)`; None if it is only a box.

    The pixels of a drawn outline are those that COCO's tools give it.
    """
    if region["mask"] is not None:
        return decode_rle(region["mask"])
    polygons = region.get("polygons")
    if not polygons:
        return None
    return fill(polygons, size)


def fill(polygons: list[list[list[float]]], size: tuple[int, int]) -> Mask:
    """The pixels inside any of some outlines `[[x, y], ...]`, bool `(height, width)`."""
    flat: Any = [[float(number) for point in polygon for number in point] for polygon in polygons]
    merged: Any = coco_mask.merge(coco_mask.frPyObjects(flat, size[1], size[0]))
    return decode_rle({"size": merged["size"], "counts": merged["counts"].decode("ascii")})


def outlines(mask: Mask) -> Outlines:
    """The outlines of a mask's parts (8 neighbours), with bridges to holes; it is not empty."""
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    corner = 2 * np.array([columns[0], rows[0]], dtype=np.int32)
    crop = mask[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    doubled = crop.astype(np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    # With every pixel of an outline, so that a bridge can begin at any of them.
    found, hierarchy = cv2.findContours(doubled, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    contours = [contour.reshape(-1, 2).astype(np.int32) for contour in found]
    parts: dict[int, _Outline] = {}
    holes: dict[int, list[_Outline]] = {}
    for index, contour in enumerate(contours):
        parent = int(hierarchy[0][index][3])
        if parent < 0:  # no outline is around it
            parts[index] = contour
        else:
            holes.setdefault(parent, []).append(contour)
    for index, inside in holes.items():
        parts[index] = _bridge_holes(parts[index], inside, doubled)
    return Outlines(
        [_corners(part) + corner for part in parts.values()], len(contours) - len(parts)
    )


def joined(found: Outlines) -> Outlines:
    """The outlines as one, with bridges between the parts, each to the nearest corner."""
    first, *others = found.parts
    for other in others:
        # The nearest corners, one after the other: a part may have thousands.
        nearest = [((first - corner) ** 2).sum(axis=1) for corner in other]
        there = int(np.argmin([distances.min() for distances in nearest]))
        first = _insert(first, int(nearest[there].argmin()), other, there)
    return Outlines([first], found.holes, len(others))


def _bridge_holes(
    outline: _Outline, holes: list[_Outline], doubled: npt.NDArray[np.uint8]
) -> _Outline:
    """An outline with its holes, each joined along the row to the left of its leftmost pixel.

    The bridge ends at the first background to the left. That is outside the part, or a hole further
    to the left, which was joined before.
    """
    for hole in sorted(holes, key=lambda hole: int(hole[:, 0].min())):
        start = int(hole[:, 0].argmin())
        x, y = (int(number) for number in hole[start])
        background = np.flatnonzero(doubled[y, :x] == 0)
        end = int(background[-1]) + 1 if len(background) else 0
        place = np.flatnonzero((outline[:, 0] == end) & (outline[:, 1] == y))
        outline = _insert(outline, int(place[0]), hole, start)
    return outline


def _insert(outline: _Outline, place: int, other: _Outline, start: int) -> _Outline:
    """An outline that goes from `place` to another's `start`, around that, and back."""
    around = np.concatenate([other[start:], other[: start + 1]])
    return np.concatenate([outline[: place + 1], around, outline[place:]])


def _corners(outline: _Outline) -> _Outline:
    """An outline without the points on its straight lines; a bridge's turn back is a corner."""
    outline = outline[(outline != np.roll(outline, 1, axis=0)).any(axis=1)]
    before = outline - np.roll(outline, 1, axis=0)
    after = np.roll(outline, -1, axis=0) - outline
    is_straight = (before[:, 0] * after[:, 1] == before[:, 1] * after[:, 0]) & (
        (before * after).sum(axis=1) > 0
    )
    corners: _Outline = outline[~is_straight]
    return corners
