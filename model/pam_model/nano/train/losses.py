"""The losses of training: masks, their scores, words, and helper heads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pam_model.nano.texts import FIELDS
from pam_model.nano.train.batch import LOOKS

_BCE_WEIGHT, _DICE_WEIGHT = 8.0, 1.0


class MaskLosses(NamedTuple):
    """Scalars, each a mean over the prompts that it concerns.

    Attributes:
        mask: the loss of the answer's mask (token 0).
        others: the loss of the best mask of tokens 1 to 3.
        iou: the error of the predicted IoU, over all four tokens.
        object: the loss of the object score.
        reached: the IoU of token 0's mask, which is reported and not minimised.
    """

    mask: Tensor
    others: Tensor
    iou: Tensor
    object: Tensor
    reached: Tensor


def mask_losses(
    logits: Tensor, iou_scores: Tensor, object_scores: Tensor, truth: Tensor, is_object: Tensor
) -> MaskLosses:
    """The losses of the mask decoder, at full size.

    The logits, one for each cell of 4 x 4 pixels, are resized as in use and compared with the
    pixels, so that the model learns to place edges and thin points between the cells.

    Args:
        logits: float32 `(N, 4, h, w)`, the mask logits of all four tokens.
        iou_scores: float32 `(N, 4)`, the predicted IoUs.
        object_scores: float32 `(N,)` logits.
        truth: bool `(N, S, S)`, the object's pixels.
        is_object: bool `(N,)`; where it is false, only the object score is trained.
    """
    logits = F.interpolate(logits, size=truth.shape[-2:], mode="bilinear", align_corners=False)
    target = truth[:, None].float().expand_as(logits)  # [N, 4, S, S]
    bce = F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(dim=(2, 3))
    each = _BCE_WEIGHT * bce + _DICE_WEIGHT * dice_loss(logits, target)  # [N, 4]
    true_iou = iou(logits.detach() > 0, truth[:, None])  # [N, 4]
    iou_error = F.smooth_l1_loss(iou_scores, true_iou, reduction="none", beta=0.1).mean(dim=1)
    # Only the best of tokens 1 to 3 is trained, so that they learn different readings of a prompt.
    return MaskLosses(
        mask=_mean_where(is_object, each[:, 0]),
        others=_mean_where(is_object, each[:, 1:].amin(dim=1)),
        iou=_mean_where(is_object, iou_error),
        object=F.binary_cross_entropy_with_logits(object_scores, is_object.float()),
        reached=_mean_where(is_object, true_iou[:, 0]),
    )


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - Dice coefficient of `(..., h, w)` logits and fractions, over the last two axes."""
    probability = logits.sigmoid()  # [..., h, w]
    overlap = (probability * target).sum(dim=(-2, -1))
    total = probability.sum(dim=(-2, -1)) + target.sum(dim=(-2, -1))
    return 1 - (2 * overlap + 1) / (total + 1)


def iou(first: Tensor, second: Tensor) -> Tensor:
    """The intersection over union of bool masks `(..., h, w)`; 1 where both are empty."""
    both = (first & second).sum(dim=(-2, -1)).float()
    either = (first | second).sum(dim=(-2, -1)).float()
    return torch.where(either > 0, both / either.clamp(min=1), 1.0)


def word_loss(logits: Tensor, ids: Tensor, supervised: Tensor) -> Tensor:
    """Cross-entropy of the next token, averaged over the tokens of each answer, then over answers.

    Args:
        logits: `(N, T, vocabulary)`; position t predicts token t.
        ids: int64 `(N, T)`, the true tokens.
        supervised: bool `(N, T)`, which tokens count; an answer without any does not count.
    """
    each = F.cross_entropy(logits.float().flatten(0, 1), ids.flatten(), reduction="none")  # [N * T]
    weight = supervised.float()
    # [N]: a mean for each answer, so that a label counts as much as a long caption.
    per_answer = (each.view_as(weight) * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
    return _mean_where(supervised.any(dim=1), per_answer)


def _mean_where(counts: Tensor, values: Tensor) -> Tensor:
    """The mean of the values `(N,)` that count; 0 if none does."""
    return (values * counts).sum() / counts.sum().clamp(min=1)


class HelperHeads(nn.Module):
    """Linear heads that read the facts directly from the features, so that these learn sooner.

    They are thrown away after training.

    Args:
        width: the channels of the features.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.region, self.mask, self.cell = (
            nn.ModuleDict({name: nn.Linear(width, len(FIELDS[name])) for name in names})
            for names in (FIELDS, LOOKS, LOOKS)
        )
        self.thing = nn.Linear(width, 2)
        self.image = nn.Linear(width, len(FIELDS["ground"]))

    def region_loss(
        self, semantic: Tensor, mask_tokens: Tensor, facts: Mapping[str, Tensor], is_object: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Read N regions' facts from semantic tokens `(N, S, C)` and mask tokens `(N, 2, C)`.

        Returns:
            The loss, and the fraction of shapes that are read rightly from the semantic tokens.
        """
        pooled = semantic.float().mean(dim=1)  # [N, C]
        losses = [
            scale * F.cross_entropy(head(features), facts[name], reduction="none")
            for scale, heads, features in (
                (1.0, self.region, pooled),
                *((0.5, self.mask, token) for token in mask_tokens.float().unbind(dim=1)),
            )
            for name, head in heads.items()
        ]  # each [N]
        right = self.region["shape"](pooled).argmax(dim=1) == facts["shape"]
        loss = torch.stack(losses).sum(dim=0)
        return _mean_where(is_object, loss), _mean_where(is_object, right)

    def dense_loss(
        self, embedding: Tensor, facts: Mapping[str, Tensor], things: Tensor, ground: Tensor
    ) -> Tensor:
        """The loss of the cells' facts, read from `(B, C, h, w)`, and of each image's ground."""
        cells = embedding.float().permute(0, 2, 3, 1)  # [B, h, w, C]
        loss = F.cross_entropy(self.thing(cells).flatten(0, 2), things.flatten())
        for name, head in self.cell.items():
            target = facts[name].flatten()
            each = F.cross_entropy(
                head(cells).flatten(0, 2), target, reduction="sum", ignore_index=-1
            )
            loss = loss + each / (target >= 0).sum().clamp(min=1)
        outside = (things == 0).float()[..., None]  # [B, h, w, 1]
        # [B, C]: the mean over the cells that show the ground.
        pooled = (cells * outside).sum(dim=(1, 2)) / outside.sum(dim=(1, 2)).clamp(min=1)
        return loss + F.cross_entropy(self.image(pooled), ground)
