"""Find everything: a grid of clicks, filters, and non-maximum suppression."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Generator

Result = TypeVar("Result")

# Masks that are cut this far above and below 0 and still agree are stable (as in SAM's generator).
STABILITY_DELTA = 1.0


@dataclass(frozen=True)
class EverythingOptions:
    """How to find everything in a picture.

    Attributes:
        points_per_side: clicks along each side of the grid.
        points_per_batch: clicks decoded in one pass.
        iou_threshold: drop masks whose predicted IoU is lower.
        stability_threshold: drop masks whose stability is lower.
        nms_threshold: of two masks with a higher IoU than this the better one stays.
        min_area: drop masks that cover a smaller part of the picture.
        max_area: drop masks that cover a larger part of the picture.
        max_regions: keep this many of the best, or all if None.
    """

    points_per_side: int = 32
    points_per_batch: int = 64
    iou_threshold: float = 0.7
    stability_threshold: float = 0.85
    nms_threshold: float = 0.7
    min_area: float = 0.0001
    max_area: float = 0.95
    max_regions: int | None = None

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            counted = field.name.startswith(("points", "max_regions"))
            if counted and value is not None and value < 1:
                raise ValueError(f"{field.name} is {value}, and must be 1 or more")
            if not counted and not 0.0 <= value <= 1.0:
                raise ValueError(f"{field.name} is {value}, and must be from 0 to 1")


def grid(points_per_side: int, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """The centres of a grid's cells: float32 `(points_per_side ** 2, 2)`, x and y in pixels."""
    width, height = size
    steps = (np.arange(points_per_side) + 0.5) / points_per_side
    x, y = np.meshgrid(steps * width, steps * height)
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)


def suppress(masks: Tensor, scores: Tensor, threshold: float) -> list[int]:
    """Greedy non-maximum suppression over mask IoU.

    Args:
        masks: bool `(N, H, W)`.
        scores: `(N,)`, higher is better.
        threshold: a mask goes when its IoU with a better one exceeds this.

    Returns:
        The indices that stay, best first.
    """
    order = scores.argsort(descending=True, stable=True)
    flat = masks[order].flatten(1).float()
    shared = flat @ flat.T
    areas = flat.sum(dim=1)
    union = (areas[:, None] + areas[None, :] - shared).clamp(min=1)
    overlapping = (shared / union > threshold).cpu().numpy()
    kept: list[int] = []
    for index in range(len(order)):
        if not overlapping[index, kept].any():
            kept.append(index)
    return [int(index) for index in order[torch.tensor(kept, dtype=torch.long)]]


def run(steps: Generator[None, None, Result]) -> Result:
    """Take all steps, and return what they end in."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return cast("Result", end.value)
