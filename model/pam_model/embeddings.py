"""Embeddings: one vector for each region, near those of regions that look and are called alike.

A vector joins three parts of equal weight, all of them features that PAM makes anyway:

- the image encoder's finest map under the region's mask, for colour and texture;
- the mask decoder's image side under the mask, for form;
- the state from which the language model would begin the region's label, for what it is.

`benchmarks.embeddings` compares them with other choices.
"""

from __future__ import annotations

from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from pam_model.segments import Segments

MOST_OF_STATE = 512
"""How many values are kept of a state of the language model."""


def join(fine: Tensor, segments: Segments, states: Tensor) -> npt.NDArray[np.float32]:
    """The vectors of N regions of an image.

    Args:
        fine: the encoder's finest map of the image, `(1, C / 8, 4 h, 4 w)`.
        segments: the regions.
        states: of the language model, `(N, hidden)`.

    Returns:
        float32 `(N, dimensions)`, each vector of length 1.

    Raises:
        ArithmeticError: a value is not a number: the checkpoint is damaged, or overflows.
    """
    masks = segments.mask_logits
    parts = pooled(fine, masks), pooled(segments.image_embed, masks), folded(states.float())
    vectors = F.normalize(torch.cat([F.normalize(part) for part in parts], dim=1))
    if not bool(vectors.isfinite().all()):
        raise ArithmeticError(
            "the embeddings are not numbers: the checkpoint is damaged, or its values do not fit "
            "the dtype (try float32)"
        )
    return cast("npt.NDArray[np.float32]", vectors.cpu().numpy())


def pooled(maps: Tensor, mask_logits: Tensor) -> Tensor:
    """The mean of a map under each mask; under a mask that has no pixel, at its largest logit.

    Args:
        maps: `(N, C, h, w)`, or `(1, C, h, w)` for all masks.
        mask_logits: `(N, H, W)`; H and W are multiples of h and w.

    Returns:
        float32 `(N, C)`.
    """
    least = mask_logits.amax(dim=(1, 2), keepdim=True).clamp(max=0)
    inside = (mask_logits >= least).float()
    height, width = maps.shape[-2:]
    cells = F.adaptive_avg_pool2d(inside[:, None], (height, width))  # [N, 1, h, w]
    weights = cells.flatten(1) / cells.sum(dim=(1, 2, 3))[:, None]  # [N, h * w]
    values = maps.float().flatten(2)  # [N or 1, C, h * w]
    return (
        weights @ values[0].T if len(values) == 1 else torch.einsum("np,ncp->nc", weights, values)
    )


def folded(states: Tensor) -> Tensor:
    """Shorten states by summing blocks of their values with fixed signs: it hardly changes angles.

    Args:
        states: float32 `(N, hidden)`.

    Returns:
        float32 `(N, MOST_OF_STATE)`, or the states themselves if they are not longer.
    """
    hidden = states.shape[1]
    if hidden <= MOST_OF_STATE:
        return states
    # NumPy promises that these bits never change, so vectors of different versions fit together.
    bits = np.random.PCG64(0).random_raw(hidden) & 1
    signs = torch.from_numpy(bits.astype(np.float32) * 2 - 1).to(states.device)
    blocks = F.pad(states * signs, (0, -hidden % MOST_OF_STATE))
    return blocks.view(len(states), -1, MOST_OF_STATE).sum(dim=1)
