"""Find everything: a grid of clicks, filters, and non-maximum suppression."""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeVar, cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from pam_model.options import AutomaticMaskOptions
from pam_model.segmenter import Attended, FeatureMaps, Segmenter, stability

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


def good_masks(
    segmenter: Segmenter, maps: FeatureMaps, clicks: Attended, options: AutomaticMaskOptions
) -> tuple[Tensor, Tensor, Tensor]:
    """Of some clicks those with a good mask: indices, masks `(n, 4 h, 4 w)`, IoU scores `(n,)`."""
    iou_scores = clicks.iou_scores[:, 0]
    # Most clicks fall here, before their masks are drawn.
    likely = (clicks.object_scores > 0) & (iou_scores >= options.iou_threshold)
    rows = likely.nonzero().flatten()
    logits = segmenter.draw_masks(maps, clicks.select(rows))[:, 0]
    masks = logits > 0
    area = masks.flatten(1).float().mean(dim=1)
    good = (
        (stability(logits, STABILITY_DELTA) >= options.stability_threshold)
        & (area >= options.min_area)
        & (area <= options.max_area)
    )
    return rows[good], masks[good], iou_scores[rows[good]]


def run(steps: Generator[None, None, Result]) -> Result:
    """Run a generator to its end, and return its result."""
    try:
        while True:
            next(steps)
    except StopIteration as end:
        return cast("Result", end.value)
