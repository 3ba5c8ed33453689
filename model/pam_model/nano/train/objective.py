"""The objective of training: a network and a batch -> one loss, and metrics to report."""

from __future__ import annotations

from itertools import accumulate

import torch
from torch import Tensor, nn

from pam_model.nano.train.batch import Batch, of_slots
from pam_model.nano.train.losses import HelperHeads, mask_losses, word_loss
from pam_model.network import PAMNetwork
from pam_model.segmenter import DecoderOutput, FeatureMaps
from pam_model.tasks import BEFORE_REGION

WEIGHTS = {
    "mask": 1.0,
    "others": 0.5,
    "iou": 0.5,
    "object": 0.5,
    "words": 1.0,
    "region": 0.25,
    "dense": 0.35,
}
METRICS = (*WEIGHTS, "mask_iou", "shape_right", "tokens_right")


class Objective(nn.Module):
    """The whole forward pass of training.

    Args:
        network: the network to train.
    """

    def __init__(self, network: PAMNetwork) -> None:
        super().__init__()
        self.network = network
        self.heads = HelperHeads(network.config.width)
        self.register_buffer("before_ids", network.language.ids(BEFORE_REGION), persistent=False)
        self.before_ids: Tensor

    def forward(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the loss, and float32 `(len(METRICS),)`; never wait for the device."""
        network = self.network
        features = network.segmenter.encode(batch.images)
        # Mask prompts are the last slots. Their masks are given, and have no loss.
        found = self._segment(features, batch)
        pointed = len(found.mask_logits)
        masks = mask_losses(
            found.mask_logits,
            found.iou_scores[:pointed],
            found.object_scores[:pointed],
            batch.truth[:pointed],
            batch.is_object[:pointed],
        )
        perceived = network.perceiver(found.mask_tokens, found.image_embed)
        words, right = self._words(network.projector(perceived), batch)
        region, shape_right = self.heads.region_loss(
            perceived.semantic, found.mask_tokens, batch.facts, batch.is_object
        )
        dense = self.heads.dense_loss(features.embedding, batch.cells, batch.things, batch.ground)
        parts = {**masks._asdict(), "words": words, "region": region, "dense": dense}
        loss = torch.stack([weight * parts[name] for name, weight in WEIGHTS.items()]).sum()
        metrics = (*(parts[name] for name in WEIGHTS), masks.reached, shape_right, right)
        return loss, torch.stack([value.detach().float() for value in metrics])

    def _segment(self, features: FeatureMaps, batch: Batch) -> DecoderOutput:
        """Decode every run of prompts; only point and box prompts have mask logits."""
        segmenter = self.network.segmenter
        *firsts, end = accumulate((len(points) for points, _ in batch.points), initial=0)
        outputs = [
            segmenter.decode_points(
                _features_of(features, first, len(points)),
                points[:, None],
                labels[:, None],
                all_masks=True,
            )
            for first, (points, labels) in zip(firsts, batch.points, strict=True)
        ]
        masked = segmenter.decode_masks(_features_of(features, end, len(batch.masks)), batch.masks)
        logits = torch.cat([output.mask_logits for output in outputs])  # [N - masks, 4, h, w]
        rest = zip(*(output[1:] for output in (*outputs, masked)), strict=True)
        return DecoderOutput(logits, *map(torch.cat, rest))

    def _words(self, visual_rows: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
        """The loss of the answers, and the fraction of their tokens that are predicted rightly."""
        language, texts = self.network.language, batch.texts
        start = language.qwen2.model.embed_tokens(self.before_ids).expand(len(visual_rows), -1, -1)
        # The last token is never read, only predicted.
        asked = language.qwen2.model.embed_tokens(texts.ids[:, :-1])
        rows = torch.cat([start, visual_rows.to(start.dtype), asked], dim=1)  # [N, length, hidden]
        # Padding is on the right, so the causal mask is enough. Saying so keeps transformers from
        # looking for padding, which would make the host wait for the device.
        hidden = language.qwen2.model(
            inputs_embeds=rows, attention_mask={"full_attention": None}, use_cache=False
        ).last_hidden_state
        logits = language.qwen2.lm_head(hidden[:, -asked.shape[1] :])  # [N, T - 1, vocabulary]
        supervised = texts.supervised[:, 1:] & batch.is_object[:, None]
        targets = texts.ids[:, 1:]
        loss = word_loss(logits, targets, supervised)
        right = (logits.argmax(dim=2) == targets) & supervised
        return loss, right.sum() / supervised.sum().clamp(min=1)


def _features_of(features: FeatureMaps, first: int, count: int) -> FeatureMaps:
    return FeatureMaps(*(of_slots(part, first, count) for part in features))
