"""Prompts: points, a box or a mask that show an object in an image.

All coordinates are pixels of the **upright** image (EXIF orientation applied), x to the right and
y down. (0, 0) is the top-left corner of the top-left pixel, and (width, height) is the
bottom-right corner of the last pixel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from pam_model.cropped_mask import CroppedMask
from pam_model.errors import PromptError

_NO_POINTS = np.zeros((0, 2), dtype=np.float32)
_NO_LABELS = np.zeros((0,), dtype=np.bool_)


@dataclass(frozen=True, eq=False)
class Prompt:
    """A prompt for one object in one image.

    Build one with `from_points`, `from_box`, `from_mask` or `from_polygon`.

    Attributes:
        points: float32 `(N, 2)`, x and y in pixels; N may be 0.
        point_labels: bool `(N,)`; true for a point on the object, false for one beside it.
        box: `(x1, y1, x2, y2)` in pixels, top-left and bottom-right, or None.
        angle: degrees by which the box is turned clockwise about its centre.
        cropped: a mask of the whole image, or None. With a mask there are no points and no box.
    """

    points: npt.NDArray[np.float32]
    point_labels: npt.NDArray[np.bool_]
    box: tuple[float, float, float, float] | None = None
    angle: float = 0.0
    cropped: CroppedMask | None = None

    @classmethod
    def from_points(
        cls, points: Sequence[Sequence[float]], labels: Sequence[bool] | None = None
    ) -> Prompt:
        """A prompt of points on the object, or beside it where `labels` is false (or 0).

        Raises:
            PromptError: `points` is not a list of (x, y), or `labels` has another length or holds
                something else than true, false, 1 and 0.
        """
        return cls(*_point_arrays(points, labels))

    @classmethod
    def from_box(
        cls,
        box: Sequence[float],
        *,
        angle: float = 0.0,
        points: Sequence[Sequence[float]] = (),
        labels: Sequence[bool] | None = None,
    ) -> Prompt:
        """A box `(x1, y1, x2, y2)`, turned `angle` degrees clockwise, perhaps with points.

        Raises:
            PromptError: `box` is not four numbers, or `points` is not a list of (x, y).
        """
        try:
            x1, y1, x2, y2 = (float(value) for value in box)
        except (TypeError, ValueError) as error:
            raise PromptError(f"a box is four numbers (x1, y1, x2, y2), not {box!r}") from error
        try:
            degrees = float(angle)
        except (TypeError, ValueError) as error:
            raise PromptError(f"an angle is a number of degrees, not {angle!r}") from error
        return cls(*_point_arrays(points, labels), box=(x1, y1, x2, y2), angle=degrees)

    @classmethod
    def from_mask(cls, mask: npt.ArrayLike) -> Prompt:
        """The object's mask, `(height, width)` of the whole image; 0 is outside the object.

        Raises:
            PromptError: the array is not two-dimensional.
        """
        array = np.asarray(mask)
        if array.ndim != 2:
            raise PromptError(f"a mask has the shape (height, width), not {array.shape}")
        return cls.from_cropped(CroppedMask.from_mask(array != 0))

    @classmethod
    def from_cropped(cls, mask: CroppedMask) -> Prompt:
        """The object's mask of the whole image, stored as its crop."""
        return cls(_NO_POINTS, _NO_LABELS, cropped=mask)

    @classmethod
    def from_polygon(cls, vertices: Sequence[Sequence[float]], size: tuple[int, int]) -> Prompt:
        """The inside of a polygon, as the mask of an image of `size` = (width, height).

        Pixels that the outline touches belong to the mask.

        Raises:
            PromptError: fewer than three vertices, or one that is not a finite (x, y).
        """
        corners, _ = _point_arrays(vertices, None)
        if len(corners) < 3 or not np.isfinite(corners).all():
            raise PromptError(f"a polygon has three finite vertices or more, not {vertices!r}")
        # fillPoly counts from pixel centres, in 16ths of a pixel (shift=4). The limit keeps corners
        # far outside the image within the range of its integers.
        limit = 8.0 * max(size)
        fixed = np.round((np.clip(corners, -limit, limit) - 0.5) * 16).astype(np.int32)
        # A margin of a pixel: the part must not cut off anything that lies inside the image.
        x1, y1 = np.maximum(fixed.min(axis=0) // 16 - 1, 0).tolist()
        x2, y2 = np.minimum(fixed.max(axis=0) // 16 + 3, size).tolist()
        part = np.zeros((max(y2 - y1, 0), max(x2 - x1, 0)), dtype=np.uint8)
        if part.size:
            cv2.fillPoly(part, [fixed - np.array([16 * x1, 16 * y1], np.int32)], 1, shift=4)
        return cls.from_cropped(CroppedMask.from_part(part.view(np.bool_), (x1, y1), size))

    @classmethod
    def join(cls, prompts: Sequence[Prompt]) -> Prompt:
        """One prompt with all points, and the box, of several prompts for the same object.

        Raises:
            PromptError: there is no prompt, a second box, or a mask beside another prompt.
        """
        if len(prompts) == 1:
            return prompts[0]
        boxed = [prompt for prompt in prompts if prompt.box is not None]
        if not prompts or len(boxed) > 1 or any(prompt.cropped is not None for prompt in prompts):
            raise PromptError("an object takes one mask, or any points with at most one box")
        return cls(
            points=np.concatenate([prompt.points for prompt in prompts]),
            point_labels=np.concatenate([prompt.point_labels for prompt in prompts]),
            box=boxed[0].box if boxed else None,
            angle=boxed[0].angle if boxed else 0.0,
        )

    @property
    def mask(self) -> npt.NDArray[np.bool_] | None:
        """The mask, bool `(height, width)` of the whole image, a new array each time; or None."""
        return None if self.cropped is None else self.cropped.mask

    @property
    def box_corners(self) -> npt.NDArray[np.float32] | None:
        """The (turned) box's corners, float32 `(4, 2)` in pixels, clockwise from its top-left."""
        if self.box is None:
            return None
        x1, y1, x2, y2 = self.box
        corners = np.array([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], dtype=np.float64)
        centre = corners.mean(axis=0)
        turn = math.radians(self.angle)
        rotation = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
        turned = (corners - centre) @ rotation + centre
        return np.asarray(turned, dtype=np.float32)

    def check(self, size: tuple[int, int], *, correction: bool = False) -> None:
        """Refuse a prompt that has no meaning in an image of `size` = (width, height).

        Args:
            size: of the image, in pixels.
            correction: whether there is a mask already, so that points beside the object suffice.

        Raises:
            PromptError: it is empty, outside the image or not finite, its mask has not the size of
                the image, or a mask comes with points or a box.
        """
        if self.cropped is not None:
            self._check_mask(self.cropped, *size)
        elif self.box is None and len(self.points) == 0:
            raise PromptError("the prompt is empty: give points, a box or a mask")
        else:
            self._check_points(*size)
            self._check_box(*size)
            if self.box is None and not (correction or self.point_labels.any()):
                raise PromptError("all points are beside the object: give one on it")

    def _check_mask(self, mask: CroppedMask, width: int, height: int) -> None:
        if self.box is not None or len(self.points):
            raise PromptError("a mask must be the only prompt: leave out the points and the box")
        if mask.size != (width, height):
            found = f"{mask.size[0]} x {mask.size[1]}"
            raise PromptError(f"the mask has {found} pixels, but the image {width} x {height}")
        if mask.is_empty:
            raise PromptError("the mask is empty")

    def _check_points(self, width: int, height: int) -> None:
        for x, y in self.points:
            if not (math.isfinite(x) and math.isfinite(y)):
                raise PromptError(f"the point ({x:g}, {y:g}) is not a pair of finite numbers")
            if not (0 <= x <= width and 0 <= y <= height):
                raise PromptError(
                    f"the point ({x:g}, {y:g}) is outside the image of {width} x {height}"
                )

    def _check_box(self, width: int, height: int) -> None:
        if self.box is None:
            return
        x1, y1, x2, y2 = self.box
        text = f"the box ({x1:g}, {y1:g}, {x2:g}, {y2:g})"
        if not all(math.isfinite(value) for value in (*self.box, self.angle)):
            raise PromptError(f"{text} with angle {self.angle:g} has a number that is not finite")
        if x2 <= x1 or y2 <= y1:
            raise PromptError(f"{text} is empty: x2 must be larger than x1, and y2 than y1")
        corners = self.box_corners
        assert corners is not None
        low, high = corners.min(axis=0), corners.max(axis=0)
        if high[0] <= 0 or high[1] <= 0 or low[0] >= width or low[1] >= height:
            raise PromptError(f"{text} is outside the image of {width} x {height}")


def _point_arrays(
    points: Sequence[Sequence[float]], labels: Sequence[bool] | None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    try:
        array = np.array(points, dtype=np.float32)  # a copy: a prompt never changes
    except (TypeError, ValueError) as error:
        raise PromptError(f"points are pairs of numbers, not {points!r}") from error
    if array.shape == (0,):
        array = _NO_POINTS
    if array.ndim != 2 or array.shape[1] != 2:
        raise PromptError(f"points are pairs of numbers (x, y), not {points!r}")
    signs = np.ones(len(array), np.bool_) if labels is None else _signs(labels)
    if signs.shape != (len(array),):
        raise PromptError(f"each point needs one label: {len(array)} points, {signs.size} labels")
    return array, signs


def _signs(labels: Sequence[bool]) -> npt.NDArray[np.bool_]:
    """The labels of points as bool: any other number would count as true, also SAM's -1."""
    try:
        array = np.asarray(labels)
        wrong = [label for label in array.flat if label not in (True, False)]
    except ValueError as error:  # lists of several lengths
        raise PromptError(f"the labels of points are true or false, not {labels!r}") from error
    if wrong:
        raise PromptError(
            "the label of a point is true (1: on the object) or false (0: beside it), not "
            f"{wrong[0]}; leave out SAM's padding points (-1), and give a box as a box"
        )
    return array.astype(np.bool_)


def check_prompts(prompts: Sequence[Prompt], size: tuple[int, int]) -> None:
    """Check the prompts of one image against its size, (width, height) in pixels.

    Raises:
        PromptError: a prompt means nothing in this image; the message gives its number, from 1.
    """
    for number, prompt in enumerate(prompts, start=1):
        try:
            prompt.check(size)
        except PromptError as error:  # noqa: PERF203 - the message needs the number
            raise PromptError(f"prompt {number}: {error}") from error
