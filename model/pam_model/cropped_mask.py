"""Masks stored as crops, because a hundred full masks of a large photograph take a gigabyte."""

from __future__ import annotations

from dataclasses import dataclass, field

import cv2
import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, eq=False)
class CroppedMask:
    """A mask of a whole image, stored as the part inside its tight box.

    Coordinates are pixels of the upright image, from the top-left corner of the top-left pixel.

    Attributes:
        size: `(width, height)` of the image.
        box: `(x1, y1, x2, y2)`, tight around the mask; x2 and y2 are exclusive. All four are 0 if
            the mask is empty.
        crop: bool `(y2 - y1, x2 - x1)`, the mask inside the box, read-only.
    """

    size: tuple[int, int]
    box: tuple[int, int, int, int]
    crop: npt.NDArray[np.bool_] = field(repr=False)

    def __post_init__(self) -> None:
        self.crop.setflags(write=False)

    @classmethod
    def from_mask(cls, mask: npt.NDArray[np.bool_]) -> CroppedMask:
        """Crop a mask, bool `(height, width)`, by copying, which does not keep the mask alive."""
        return cls.from_part(mask, (0, 0), (mask.shape[1], mask.shape[0]))

    @classmethod
    def from_part(
        cls, part: npt.NDArray[np.bool_], corner: tuple[int, int], size: tuple[int, int]
    ) -> CroppedMask:
        """Crop a mask that is empty outside a part of its image.

        Args:
            part: bool `(height of the part, width of the part)`.
            corner: x and y of the part's top-left corner in the image.
            size: `(width, height)` of the image.
        """
        if not part.any():
            return cls(size, (0, 0, 0, 0), np.zeros((0, 0), np.bool_))
        x, y, width, height = map(int, cv2.boundingRect(np.ascontiguousarray(part).view(np.uint8)))
        x1, y1 = x + corner[0], y + corner[1]
        crop = part[y : y + height, x : x + width].copy()
        return cls(size, (x1, y1, x1 + width, y1 + height), crop)

    @property
    def mask(self) -> npt.NDArray[np.bool_]:
        """The mask of the whole image, bool `(height, width)`; a new array each time."""
        width, height = self.size
        full = np.zeros((height, width), dtype=np.bool_)
        x1, y1, x2, y2 = self.box
        full[y1:y2, x1:x2] = self.crop
        return full

    @property
    def area(self) -> int:
        """The number of pixels in the mask."""
        return int(np.count_nonzero(self.crop))

    @property
    def depth(self) -> npt.NDArray[np.float32]:
        """How far each pixel's centre is from the nearest one outside the mask, in pixels.

        float32 `(y2 - y1, x2 - x1)` inside the box, 0 outside the mask, a new array each time. What
        is outside the image is outside the mask.
        """
        padded = np.pad(self.crop.astype(np.uint8), 1)
        distance = cv2.distanceTransform(padded, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        return np.asarray(distance, dtype=np.float32)[1:-1, 1:-1]

    @property
    def deepest_point(self) -> tuple[float, float]:
        """x and y of the centre of the pixel that is farthest from the edges of the mask.

        Raises:
            ValueError: the mask is empty.
        """
        row, column = np.unravel_index(int(self.depth.argmax()), self.crop.shape)
        return self.box[0] + int(column) + 0.5, self.box[1] + int(row) + 0.5

    @property
    def is_empty(self) -> bool:
        """Whether no pixel is in the mask."""
        return self.crop.size == 0
