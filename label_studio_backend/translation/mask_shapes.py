"""Turn masks into Label Studio's rectangles, ellipses, polygons and keypoints.

`geometry` describes the frame of reference.

All shapes lie inside the image and within the limits of label_studio_sdk: positions and sides up to
100, radii up to 50, angles from 0 to 360.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import numpy.typing as npt

from pam_labeling.errors import MaskError
from pam_labeling.masks import Polygon, polygons_of

if TYPE_CHECKING:
    from label_studio_backend.translation.geometry import Mask, Points, Size
    from pam_model.cropped_mask import CroppedMask

SMALL_PART = 0.02
"""Parts and holes under this share of the largest part's area are left out of polygons."""

KEYPOINT_WIDTH = 0.5
"""The size at which Label Studio draws a point, in percent of the image's width."""

MAX_PARTS = 32
"""The largest number of polygons for one mask; its largest parts are kept."""

MAX_HOLES = 32
"""The largest number of holes in one mask; its largest holes are kept."""

_MAX_BRIDGE_VERTICES = 500


def rectangle_of(mask: CroppedMask, angle: float = 0.0) -> dict[str, float]:
    """The tight rectangle around a mask: x, y, width, height, rotation.

    It is turned by `angle` (degrees clockwise) modulo a quarter turn; it is upright if the turned
    one would not fit into the image.

    Raises:
        MaskError: the mask is empty.
    """
    x1, y1, x2, y2 = _box_of(mask)
    rest = (angle + 45) % 90 - 45
    upright = _rectangle(x1, y1, x2 - x1, y2 - y1, 0.0, mask.size)
    return (_turned_rectangle(mask, rest) if rest else None) or upright


def ellipse_of(mask: CroppedMask) -> dict[str, float]:
    """The ellipse with a mask's centre and second moments: x, y, radiusX, radiusY, rotation.

    radiusX belongs to the axis that is nearer to horizontal, as radii are limited to 50 %.

    Raises:
        MaskError: the mask is empty.
    """
    x1, y1, *_ = _box_of(mask)
    width, height = mask.size
    # A filled ellipse has radii of twice the square roots of its moments.
    moments = cv2.moments(mask.crop.astype(np.uint8), binaryImage=True)
    area = moments["m00"]
    # A pixel is a square, not a point: 1 / 12 is its own second moment.
    across, down = moments["mu20"] / area + 1 / 12, moments["mu02"] / area + 1 / 12
    mixed = moments["mu11"] / area
    angle = math.degrees(math.atan2(2 * mixed, across - down)) / 2
    spread = math.hypot((across - down) / 2, mixed)
    along, athwart = (across + down) / 2 + spread, (across + down) / 2 - spread
    if not -45 <= angle <= 45:
        along, athwart, angle = athwart, along, angle - math.copysign(90, angle)
    return {
        "x": (moments["m10"] / area + x1 + 0.5) * 100 / width,
        "y": (moments["m01"] / area + y1 + 0.5) * 100 / height,
        "radiusX": min(200 * math.sqrt(along) / width, 50.0),
        "radiusY": min(200 * math.sqrt(max(athwart, 0.0)) / height, 50.0),
        "rotation": angle % 180,
    }


def keypoint_of(mask: CroppedMask) -> dict[str, float]:
    """The centre of the mask's pixel that is farthest from its edges: x, y, width.

    Raises:
        MaskError: the mask is empty.
    """
    _box_of(mask)
    (width, height), (x, y) = mask.size, mask.deepest_point
    return {"x": x * 100 / width, "y": y * 100 / height, "width": KEYPOINT_WIDTH}


def polygons_of_mask(mask: CroppedMask, tolerance: float) -> list[dict[str, Any]]:
    """Polygons {points, closed} of a mask's parts, the largest first.

    Label Studio's polygons have one outline and no holes. So each part is a polygon of its own, and
    a slit of no width joins a hole to the outline around it, which every export fills correctly.
    Parts under `SMALL_PART` of the largest part are left out, and such holes are filled.

    Args:
        mask: of the image.
        tolerance: how far, in pixels, the outline may be from the exact one.

    Raises:
        MaskError: the mask is empty.
    """
    corner = np.array(_box_of(mask)[:2], dtype=np.float64)
    size = np.array(mask.size, dtype=np.float64)
    crop = _without_small(mask.crop)
    parts = polygons_of(crop, tolerance=tolerance)
    if any(len(part.exterior) < 3 for part in parts):
        # A part was simplified to a line or a dot; thin parts need exact outlines.
        parts = polygons_of(crop)
    parts.sort(key=lambda part: -cv2.contourArea(part.exterior))
    return [
        {"points": np.round((_with_holes(part) + corner) * 100 / size, 5).tolist(), "closed": True}
        for part in parts
    ]


def _box_of(mask: CroppedMask) -> tuple[int, int, int, int]:
    if mask.is_empty:
        raise MaskError("an empty mask has no shape")
    return mask.box


def _without_small(crop: Mask) -> Mask:
    """A tight crop of a mask without small parts, and with small holes filled."""
    # This comes before outlines are traced: a ragged mask may have a million of them.
    _, numbers, statistics, _ = cv2.connectedComponentsWithStats(
        crop.astype(np.uint8), connectivity=8
    )
    areas = statistics[:, cv2.CC_STAT_AREA]
    areas[0] = 0  # the pixels outside the mask
    least = SMALL_PART * areas.max()
    kept = _largest(areas, least, MAX_PARTS)[numbers]
    _, numbers, statistics, _ = cv2.connectedComponentsWithStats(
        np.pad(~kept, 1, constant_values=True).astype(np.uint8), connectivity=4
    )
    areas = statistics[:, cv2.CC_STAT_AREA]
    around = numbers[0, 0]
    areas[[0, around]] = 0
    holes = _largest(areas, least, MAX_HOLES)
    holes[around] = True
    filled: Mask = ~holes[numbers[1:-1, 1:-1]]
    return filled


def _largest(areas: npt.NDArray[Any], least: float, count: int) -> npt.NDArray[np.bool_]:
    """Which of the areas are `least` or more; at most the `count` largest."""
    chosen = np.argsort(-areas, kind="stable")[:count]
    return np.isin(np.arange(len(areas)), chosen) & (areas >= least)


def _with_holes(part: Polygon) -> Points:
    """One outline, float64 `(N, 2)`, that visits every hole by its shortest bridge and returns.

    The hole with the shortest bridge always comes next, so no bridge crosses a hole.
    """
    outline = part.exterior.astype(np.float64)
    holes = [hole.astype(np.float64) for hole in part.holes]
    while holes:
        bridges = [_shortest_bridge(outline, hole) for hole in holes]
        index = min(range(len(holes)), key=lambda index: bridges[index][0])
        _, here, there = bridges[index]
        hole = np.roll(holes.pop(index), -there, axis=0)
        # Go to the hole, once around it, and back the same way.
        outline = np.concatenate([outline[: here + 1], hole, hole[:1], outline[here:]])
    return outline


def _shortest_bridge(outline: Points, hole: Points) -> tuple[float, int, int]:
    """The squared length, and the vertices of the outline and of the hole at its ends."""
    # Long outlines are thinned out: all pairs of vertices would be too many.
    step, hole_step = (-(-len(ring) // _MAX_BRIDGE_VERTICES) for ring in (outline, hole))
    gaps = outline[::step, None] - hole[None, ::hole_step]  # (N, M, 2)
    squares = np.einsum("ijk,ijk->ij", gaps, gaps)
    here, there = divmod(int(squares.argmin()), squares.shape[1])
    return float(squares[here, there]), here * step, there * hole_step


def _turned_rectangle(mask: CroppedMask, angle: float) -> dict[str, float] | None:
    size = mask.size
    outlines, _ = cv2.findContours(
        mask.crop.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE
    )
    pixels = np.concatenate(outlines).reshape(-1, 2).astype(np.float64) + mask.box[:2]
    # Every pixel is a square with four corners.
    corners = np.concatenate([pixels + np.array([dx, dy]) for dx in (0, 1) for dy in (0, 1)])
    turn = math.radians(angle)
    axes = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    along = corners @ axes.T
    low, high = along.min(axis=0), along.max(axis=0)
    ends = np.array([low, (high[0], low[1]), high, (low[0], high[1])]) @ axes
    width, height = high - low
    if (ends < 0).any() or (ends > size).any() or width > size[0] or height > size[1]:
        return None
    x, y = float(ends[0][0]), float(ends[0][1])
    return _rectangle(x, y, float(width), float(height), angle % 360, size)


def _rectangle(
    x: float, y: float, width: float, height: float, rotation: float, size: Size
) -> dict[str, float]:
    return {
        "x": x * 100 / size[0],
        "y": y * 100 / size[1],
        "width": width * 100 / size[0],
        "height": height * 100 / size[1],
        "rotation": rotation,
    }
