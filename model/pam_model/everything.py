"""Find everything: a grid of clicks, filters, and non-maximum suppression."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Result = TypeVar("Result")

# A mask is stable if it hardly changes when it is cut this far above and below 0, as in SAM's
# own generator.
STABILITY_DELTA = 1.0


def grid(points_per_side: int, size: tuple[int, int]) -> npt.NDArray[np.float32]:
    """The centres of a grid's cells: float32 `(points_per_side ** 2, 2)`, x and y in pixels."""
    width, height = size
    steps = (np.arange(points_per_side) + 0.5) / points_per_side
    x, y = np.meshgrid(steps * width, steps * height)
    return np.stack([x.ravel(), y.ravel()], axis=1).astype(np.float32)  # [points, (x, y)]


def mask_nms(masks: Tensor, scores: Tensor, threshold: float) -> list[int]:
    """Greedy non-maximum suppression over mask IoU.

    Args:
        masks: bool `(N, H, W)`.
        scores: `(N,)`, higher is better.
        threshold: a mask is dropped if its IoU with a better one exceeds this.

    Returns:
        The indices of the masks that stay, best first.
    """
    order = scores.argsort(descending=True, stable=True)
    flat = masks[order].flatten(1).float()  # [N, H * W], best first
    shared = flat @ flat.T  # [N, N], pixels of each intersection
    areas = flat.sum(dim=1)  # [N]
    union = (areas[:, None] + areas[None, :] - shared).clamp(min=1)
    overlapping = (shared / union > threshold).cpu().numpy()  # [N, N]
    kept: list[int] = []
    for index in range(len(order)):
        # Only a mask that stays can drop others.
        if not overlapping[index, kept].any():
            kept.append(index)
    return [int(index) for index in order[torch.tensor(kept, dtype=torch.long)]]


def run(steps: Generator[None, None, Result]) -> Result:
    """Run a generator to its end, and return its result."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return cast("Result", end.value)
