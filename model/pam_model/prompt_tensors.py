"""Prompts as SAM 2.1 takes them: points in pixels of the square image, their labels, and masks."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from pam_model.cropped_mask import CroppedMask
from pam_model.prompts import Prompt
from pam_model.segmenter import BOX_LABELS

MASK_PASS = -1
"""The number of the decoder pass of mask prompts."""


def decoder_pass(prompt: Prompt) -> int:
    """The number of a prompt's decoder pass: its number of points, or `MASK_PASS`.

    Prompts with different numbers of points do not share a pass: padding would change an answer.
    """
    if prompt.cropped is not None:
        return MASK_PASS
    return len(prompt.points) + 2 * (prompt.box is not None)


def point_tensors(
    prompts: Sequence[Prompt], size: tuple[int, int], side: int
) -> tuple[Tensor, Tensor]:
    """Points and labels of P prompts with K points each: a box's corners first, then the clicks.

    Args:
        prompts: prompts of one pass, none of them a mask.
        size: (width, height) of the upright image in pixels.
        side: the side in pixels of the square image that SAM sees.

    Returns:
        Points, float32 `(1, P, K, 2)` in pixels of the square, and SAM's labels, int64 `(1, P, K)`.
    """
    points, labels = [], []
    for prompt in prompts:
        own, signs = prompt.points, prompt.point_labels.astype(np.int64)  # [K, 2], [K]
        corners = prompt.box_corners
        if corners is not None:
            # SAM knows upright boxes only: a turned box becomes the upright box around it.
            upright = np.stack([corners.min(axis=0), corners.max(axis=0)])  # [2, 2]
            own, signs = np.concatenate([upright, own]), np.concatenate([BOX_LABELS, signs])
        points.append(own)
        labels.append(signs)
    scale = side / np.array(size, dtype=np.float32)
    return (
        torch.from_numpy(np.stack(points) * scale)[None],  # [1, P, K, 2]
        torch.from_numpy(np.stack(labels))[None],  # [1, P, K]
    )


def confine_to_turned_boxes(
    logits: Tensor, prompts: Sequence[Prompt], size: tuple[int, int]
) -> Tensor:
    """Cut masks `(P, 1, 4 h, 4 w)` at the turned boxes they were prompted with.

    Args:
        logits: the logits of each prompt's mask, over the square image.
        prompts: P prompts.
        size: (width, height) of the upright image in pixels.
    """
    turned = [index for index, prompt in enumerate(prompts) if prompt.angle % 90 != 0]
    if not turned:
        return logits
    logits = logits.clone()
    for index in turned:
        inside = _inside_turned_box(prompts[index], size, logits.shape[-1])  # [4 h, 4 w]
        logits[index, 0] = torch.minimum(logits[index, 0], inside.to(logits.device))
    return logits


def _inside_turned_box(prompt: Prompt, size: tuple[int, int], cells: int) -> Tensor:
    """How far inside a turned box each cell of a map lies, negative outside: `(cells, cells)`.

    The distance is in cells, so that the edge stays straight when the map is resized to the image.
    """
    assert prompt.box is not None
    x1, y1, x2, y2 = prompt.box
    steps = (torch.arange(cells) + 0.5) / cells
    x = steps[None, :] * size[0] - (x1 + x2) / 2  # [1, cells], in pixels from the box's centre
    y = steps[:, None] * size[1] - (y1 + y2) / 2  # [cells, 1]
    turn = math.radians(prompt.angle)
    along = x * math.cos(turn) + y * math.sin(turn)  # [cells, cells], in the box's own frame
    across = y * math.cos(turn) - x * math.sin(turn)
    inside = torch.minimum((x2 - x1) / 2 - along.abs(), (y2 - y1) / 2 - across.abs())
    return inside * (cells / max(size))


def square_masks(masks: Sequence[CroppedMask], side: int, device: torch.device) -> Tensor:
    """Squash masks of one image to a square: float32 `(N, 1, side, side)` of 0 and 1.

    Args:
        masks: at least one.
        side: the square's side in pixels.
        device: where to compute.
    """
    width, height = masks[0].size
    # One mask after the other, in the same memory: at four bytes a pixel a photograph is large.
    full = torch.zeros(1, 1, height, width, device=device)
    squares = torch.empty(len(masks), 1, side, side, device=device)
    for row, mask in enumerate(masks):
        x1, y1, x2, y2 = mask.box
        part = full[0, 0, y1:y2, x1:x2]  # a view, [y2 - y1, x2 - x1]
        part.copy_(torch.tensor(mask.crop))
        square = F.interpolate(
            full, size=(side, side), mode="bilinear", align_corners=False, antialias=True
        )
        squares[row] = square[0] >= 0.5  # antialiased fractions back to 0 and 1
        part.zero_()
    return squares
