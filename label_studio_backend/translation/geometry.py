"""Turn Label Studio's shapes into pixels of the upright image; `mask_shapes` does the reverse.

Label Studio measures in percent of the image's width (x, width, radiusX) and height (y, height,
radiusY), from the top-left corner. Angles are degrees, clockwise on the screen, and turn
**pixels**, not percents: a rectangle turns about its own top-left corner, an ellipse about its
centre. `image_rotation` only turns the annotator's view of the image; positions do not change.

Nothing is trusted. A number must be a finite JSON number; null, text, NaN and missing numbers are
refused. A point up to 1 % outside the image is moved to its edge; one further out is refused. An
upright box is cut at the image's edges, and refused if nothing is left. Every refusal is a
`GeometryError` whose message is a sentence.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from pam_labeling.errors import InputError
from pam_labeling.validation import shown
from pam_model.prompts import Prompt

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pam_model.cropped_mask import CroppedMask

Mask: TypeAlias = npt.NDArray[np.bool_]
Points: TypeAlias = npt.NDArray[np.float64]
Size: TypeAlias = tuple[int, int]

MAX_VERTICES = 100_000

_SLACK = 1.0  # percent: a click on the edge may be rounded to the outside
_FARTHEST = 1e6  # percent: beyond it, single precision loses the pixel


class GeometryError(InputError):
    """A shape that is invalid in this image; the message is a sentence that says why."""


def number(value: Mapping[str, Any], key: str, default: float | None = None) -> float:
    """The finite number at `key`; `default`, if given, if it is missing or null.

    Raises:
        GeometryError: it is missing, not a number, not finite or absurdly large.
    """
    found = value.get(key)
    if found is None:
        if default is None:
            raise GeometryError(f'The shape has no "{key}".')
        return default
    if isinstance(found, bool) or not isinstance(found, int | float):
        raise GeometryError(f'"{key}" must be a number, not {shown(found)}.')
    if not -_FARTHEST <= found <= _FARTHEST:  # also false for NaN
        raise GeometryError(f'"{key}" is {shown(found)}, far outside any image.')
    return float(found)


def read_point(value: Mapping[str, Any], size: Size) -> tuple[float, float]:
    """The pixel `(x, y)` of a keypoint.

    Raises:
        GeometryError: see the module.
    """
    x, y = number(value, "x"), number(value, "y")
    if not (-_SLACK <= x <= 100 + _SLACK and -_SLACK <= y <= 100 + _SLACK):
        raise GeometryError(f"The point ({x:g} %, {y:g} %) is outside the image.")
    return min(max(x, 0.0), 100.0) * size[0] / 100, min(max(y, 0.0), 100.0) * size[1] / 100


def read_rectangle(value: Mapping[str, Any], size: Size) -> Prompt:
    """The box of a rectangle, in pixels.

    Raises:
        GeometryError: see the module; or a side is not positive.
    """
    x, y = number(value, "x") * size[0] / 100, number(value, "y") * size[1] / 100
    width, height = _lengths(value, "width", "height", size)
    angle = number(value, "rotation", 0.0) % 360
    turn = math.radians(angle)
    # Label Studio turns it about its top-left corner; a prompt's box turns about its centre.
    centre_x = x + (width * math.cos(turn) - height * math.sin(turn)) / 2
    centre_y = y + (width * math.sin(turn) + height * math.cos(turn)) / 2
    return _around(centre_x, centre_y, width / 2, height / 2, angle, size)


def read_ellipse(value: Mapping[str, Any], size: Size) -> Prompt:
    """The tight box around an ellipse, turned as the ellipse is, in pixels.

    Raises:
        GeometryError: see the module; or a radius is not positive.
    """
    x, y = number(value, "x") * size[0] / 100, number(value, "y") * size[1] / 100
    radius_x, radius_y = _lengths(value, "radiusX", "radiusY", size)
    return _around(x, y, radius_x, radius_y, number(value, "rotation", 0.0) % 180, size)


def read_polygon(value: Mapping[str, Any], size: Size) -> Points:
    """The vertices of a polygon, float64 `(N, 2)` in pixels; they may lie outside the image.

    Raises:
        GeometryError: see the module; or it has fewer than 3 or more than `MAX_VERTICES` vertices.
    """
    points = value.get("points")
    if not isinstance(points, list) or not 3 <= len(points) <= MAX_VERTICES:
        raise GeometryError(f'"points" must be a list of 3 to {MAX_VERTICES} points.')
    vertices = np.empty((len(points), 2))
    for index, point in enumerate(points):
        if not isinstance(point, list | tuple) or len(point) != 2:
            raise GeometryError(f"Point {index + 1} of the polygon must be [x, y].")
        pair = {"x": point[0], "y": point[1]}
        vertices[index] = number(pair, "x"), number(pair, "y")
    return vertices * size / 100


def box_from_pixels(box: Sequence[Any], size: Size) -> Prompt:
    """The upright box `(x1, y1, x2, y2)` in pixels, cut at the image's edges.

    Raises:
        GeometryError: not four finite numbers, empty, or outside the image.
    """
    if len(box) != 4:
        raise GeometryError(f"A box must be four numbers [x1, y1, x2, y2], not {shown(box)}.")
    named = dict(zip(("x1", "y1", "x2", "y2"), box, strict=True))
    x1, y1, x2, y2 = (number(named, key) for key in named)
    if x2 <= x1 or y2 <= y1:
        raise GeometryError(f"The box [{x1:g}, {y1:g}, {x2:g}, {y2:g}] is empty.")
    return _cut((x1, y1, x2, y2), size)


def fit_mask(mask: Mask, size: Size) -> Mask:
    """A mask made for another size of the same image, at `size`, by nearest neighbour.

    Raises:
        GeometryError: it was made for the image lying on its side (EXIF).
    """
    height, width = mask.shape
    if (width, height) == size:
        return mask
    if (height, width) == size:
        raise GeometryError(
            f"The mask must fit the image of {size[0]} x {size[1]} pixels, not {width} x {height}: "
            "it was painted on the image lying on its side."
        )
    resized = cv2.resize(mask.view(np.uint8), size, interpolation=cv2.INTER_NEAREST_EXACT)
    return np.asarray(resized, dtype=np.uint8).view(np.bool_)


def stroke_points(mask: CroppedMask, count: int = 5) -> Points | None:
    """Points along a thin stroke, float64 `(<= count, 2)` in pixels; None if it is no stroke.

    A stroke is at least 6 times as long as its greatest thickness. The points lie along its middle,
    as far from each other as possible.
    """
    x1, y1, *_ = mask.box
    depth = mask.depth  # [H, W], pixels
    # The area of a stroke is about its length times its thickness.
    thickness = 2 * float(depth.max())
    if np.count_nonzero(depth) < 6 * thickness**2:
        return None
    rows, columns = np.nonzero(depth >= 0.5 * depth.max())
    middle = np.stack([columns + x1 + 0.5, rows + y1 + 0.5], axis=1)
    chosen = [middle[0]]  # the topmost: an end of most strokes
    distance = np.full(len(middle), np.inf)
    while len(chosen) < min(count, len(middle)):
        distance = np.minimum(distance, np.square(middle - chosen[-1]).sum(axis=1))
        chosen.append(middle[int(distance.argmax())])
    return np.stack(chosen)


def _lengths(value: Mapping[str, Any], across: str, down: str, size: Size) -> tuple[float, float]:
    """Two positive lengths, in pixels."""
    for key in (across, down):
        if number(value, key) <= 0:
            raise GeometryError(f'"{key}" must be more than 0, not {number(value, key):g}.')
    return number(value, across) * size[0] / 100, number(value, down) * size[1] / 100


def _around(x: float, y: float, across: float, down: float, angle: float, size: Size) -> Prompt:
    box = (x - across, y - down, x + across, y + down)
    if angle == 0:
        return _cut(box, size)
    turn = math.radians(angle)
    reach_x = abs(across * math.cos(turn)) + abs(down * math.sin(turn))
    reach_y = abs(across * math.sin(turn)) + abs(down * math.cos(turn))
    # A turned box is not cut, but some of it must be inside.
    _cut((x - reach_x, y - reach_y, x + reach_x, y + reach_y), size)
    return Prompt.from_box(box, angle=angle)


def _cut(box: tuple[float, float, float, float], size: Size) -> Prompt:
    x1, y1 = max(box[0], 0.0), max(box[1], 0.0)
    x2, y2 = min(box[2], float(size[0])), min(box[3], float(size[1]))
    if x2 <= x1 or y2 <= y1:
        raise GeometryError("The shape is outside the image.")
    return Prompt.from_box((x1, y1, x2, y2))
