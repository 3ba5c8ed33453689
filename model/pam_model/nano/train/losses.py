"""What training minimises: masks, their scores, words, and (from scratch only) helper heads."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pam_model.nano import words

if TYPE_CHECKING:
    from pam_model.nano.train.answers import FactTensors
    from pam_model.nano.train.batch import Dense

_BCE_WEIGHT, _DICE_WEIGHT = 8.0, 1.0
_SIZES_OF_FACTS = {
    "shape": len(words.SHAPES),
    "colour": len(words.COLOURS),
    "texture": len(words.TEXTURES),
    "size": len(words.SIZES),
    "place": len(words.PLACES),
    "ground": len(words.GROUNDS),
}
_LOCAL = ("shape", "colour", "texture", "size")


class MaskLosses(NamedTuple):
    """Scalars, each a mean over the prompts it concerns.

    Attributes:
        mask: of the answer (token 0).
        others: of the best of tokens 1 to 3.
        iou: error of the predicted IoU, over all four tokens.
        object: whether there is an object.
        reached: the IoU of token 0, which is watched and not minimised.
    """

    mask: Tensor
    others: Tensor
    iou: Tensor
    object: Tensor
    reached: Tensor


def mask_losses(
    logits: Tensor, iou_scores: Tensor, object_scores: Tensor, truth: Tensor, is_object: Tensor
) -> MaskLosses:
    """Losses of the mask decoder, at full size.

    Cells of 4 pixels can say more than one bit each: their logits are resized as they are in use,
    and compared with the pixels, so that thin points and edges come out between the cells.

    Args:
        logits: float32 `(N, 4, h, w)`, of all four tokens.
        iou_scores: float32 `(N, 4)`.
        object_scores: float32 `(N,)` logits.
        truth: bool `(N, S, S)`, the object's pixels.
        is_object: bool `(N,)`; where false only the object score is trained.
    """
    weight = is_object.float()
    total = weight.sum().clamp(min=1)
    logits = F.interpolate(logits, size=truth.shape[-2:], mode="bilinear", align_corners=False)
    target = truth[:, None].float().expand_as(logits)
    each = _BCE_WEIGHT * F.binary_cross_entropy_with_logits(logits, target, reduction="none").mean(
        dim=(2, 3)
    ) + _DICE_WEIGHT * dice_loss(logits, target)  # [N, 4]
    true_iou = iou(logits.detach() > 0, truth[:, None])
    iou_error = F.smooth_l1_loss(iou_scores, true_iou, reduction="none", beta=0.1).mean(dim=1)
    return MaskLosses(
        mask=(each[:, 0] * weight).sum() / total,
        others=(each[:, 1:].amin(dim=1) * weight).sum() / total,
        iou=(iou_error * weight).sum() / total,
        object=F.binary_cross_entropy_with_logits(object_scores, weight),
        reached=(true_iou[:, 0] * weight).sum() / total,
    )


def dice_loss(logits: Tensor, target: Tensor) -> Tensor:
    """1 - Dice coefficient of `(..., h, w)` logits and fractions, over the last two axes."""
    probability = logits.sigmoid()
    overlap = (probability * target).sum(dim=(-2, -1))
    total = probability.sum(dim=(-2, -1)) + target.sum(dim=(-2, -1))
    return 1 - (2 * overlap + 1) / (total + 1)


def iou(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of bool masks `(..., h, w)`; 1 where both are empty."""
    both = (first & second).sum(dim=(-2, -1)).float()
    either = (first | second).sum(dim=(-2, -1)).float()
    return torch.where(either > 0, both / either.clamp(min=1), 1.0)


def word_loss(logits: Tensor, ids: Tensor, supervised: Tensor) -> Tensor:
    """Cross-entropy of the next token, averaged over the tokens of each answer, then over answers.

    Args:
        logits: `(N, T, vocabulary)`; row t predicts token t.
        ids: int64 `(N, T)`.
        supervised: bool `(N, T)`; answers without any token do not count.
    """
    each = F.cross_entropy(logits.float().flatten(0, 1), ids.flatten(), reduction="none")
    weight = supervised.float()
    per_answer = (each.view_as(weight) * weight).sum(dim=1) / weight.sum(dim=1).clamp(min=1)
    answers = supervised.any(dim=1).float()
    return (per_answer * answers).sum() / answers.sum().clamp(min=1)


class HelperHeads(nn.Module):
    """Read the facts straight from features, to teach them early; thrown away after training.

    Args:
        width: channels of the features.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.region = nn.ModuleDict(
            {name: nn.Linear(width, count) for name, count in _SIZES_OF_FACTS.items()}
        )
        self.mask = nn.ModuleDict(
            {name: nn.Linear(width, _SIZES_OF_FACTS[name]) for name in _LOCAL}
        )
        self.cell = nn.ModuleDict(
            {name: nn.Linear(width, _SIZES_OF_FACTS[name]) for name in _LOCAL}
        )
        self.thing = nn.Linear(width, 2)
        self.image = nn.Linear(width, _SIZES_OF_FACTS["ground"])

    def region_loss(
        self, semantic: Tensor, mask_tokens: Tensor, facts: FactTensors, is_object: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Facts of N regions from the semantic tokens `(N, S, C)` and mask tokens `(N, 2, C)`.

        Returns:
            The loss, and the fraction of shapes that the semantic tokens show rightly.
        """
        pooled = semantic.float().mean(dim=1)
        weight = is_object.float()
        total = weight.sum().clamp(min=1)
        losses = []
        for name, head in self.region.items():
            losses.append(F.cross_entropy(head(pooled), getattr(facts, name), reduction="none"))
        for name, head in self.mask.items():
            for token in mask_tokens.float().unbind(dim=1):
                part = F.cross_entropy(head(token), getattr(facts, name), reduction="none")
                losses.append(0.5 * part)
        loss = (torch.stack(losses).sum(dim=0) * weight).sum() / total
        right = (self.region["shape"](pooled).argmax(dim=1) == facts.shape).float()
        return loss, (right * weight).sum() / total

    def dense_loss(self, embedding: Tensor, dense: Dense, ground: Tensor) -> Tensor:
        """Facts of the cells of embeddings `(B, C, h, w)`, and of each image its ground."""
        cells = embedding.float().permute(0, 2, 3, 1)  # [B, h, w, C]
        loss = F.cross_entropy(self.thing(cells).flatten(0, 2), dense.thing.flatten())
        for name, head in self.cell.items():
            target = getattr(dense, name).flatten()
            each = F.cross_entropy(
                head(cells).flatten(0, 2), target, reduction="sum", ignore_index=-1
            )
            loss = loss + each / (target >= 0).sum().clamp(min=1)
        outside = (dense.thing == 0).float()[..., None]
        pooled = (cells * outside).sum(dim=(1, 2)) / outside.sum(dim=(1, 2)).clamp(min=1)
        return loss + F.cross_entropy(self.image(pooled), ground)
