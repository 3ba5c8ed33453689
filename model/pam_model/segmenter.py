"""SAM 2.1: an image -> features; prompts -> masks and the region features that PAM reads.

All tensors are in the model's own frame: images are squares of S = `image_size` pixels, and points
are in pixels of that square. Each of B images has an image embedding of h x w cells with C channels
and P prompts, which makes N = B * P prompts. Everything is differentiable; nothing here chooses a
device. In SAM 2.1-large, S = 1024, h = w = 64 and C = 256.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoModel

from pam_model.config import PAMConfig

PADDING_LABEL = -1
"""The label of a point without a meaning; SAM appends one to every prompt of points."""
BOX_LABELS = (2, 3)
"""The labels of a box's top-left and bottom-right corners."""
NO_OBJECT_LOGIT = -1024.0
"""The mask logit of every pixel where the model finds no object."""

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
# A mask that is the prompt is also the answer; these turn it into logits, as in Meta's SAM 2.
_MASK_SCALE, _MASK_BIAS = 20.0, -10.0


class FeatureMaps(NamedTuple):
    """The image encoder's features of B images.

    Attributes:
        stride4: `(B, C / 8, 4 h, 4 w)`, ready for the mask decoder.
        stride8: `(B, C / 4, 2 h, 2 w)`, ready for the mask decoder.
        embedding: `(B, C, h, w)`, without the "no memory" embedding.
    """

    stride4: Tensor
    stride8: Tensor
    embedding: Tensor

    def image(self, row: int) -> FeatureMaps:
        """One image's features, copied so that the others can be freed."""
        return FeatureMaps(*(part[row : row + 1].clone() for part in self))

    def repeat(self, times: int) -> FeatureMaps:
        """Repeat each image `times` times in the batch."""
        return FeatureMaps(*(part.repeat_interleave(times, dim=0) for part in self))


class DecoderOutput(NamedTuple):
    """The mask decoder's answers to N prompts.

    Attributes:
        mask_logits: `(N, M, 4 h, 4 w)`; M is 1 (token 0, the answer) or 4 (all, for training).
        iou_scores: `(N, 4)`, the predicted IoU of each token's mask.
        object_scores: `(N,)` logits; at 0 or less there is no object.
        mask_tokens: `(N, 2, C)`, the token of the stable mask and token 0.
        image_embed: `(N, C, h, w)`, the decoder's image side before upscaling.
        object_pointers: `(N, C)`, for tracking.
    """

    mask_logits: Tensor
    iou_scores: Tensor
    object_scores: Tensor
    mask_tokens: Tensor
    image_embed: Tensor
    object_pointers: Tensor


class Attended(NamedTuple):
    """The mask decoder's state for N prompts after attention, before it draws their masks.

    Attributes:
        tokens: `(N, 4, C)`, the mask tokens.
        iou_scores: `(N, 4)`, the predicted IoU of each token's mask.
        object_scores: `(N,)` logits; at 0 or less there is no object.
        image_embed: `(N, C, h, w)`, the decoder's image side before upscaling.
    """

    tokens: Tensor
    iou_scores: Tensor
    object_scores: Tensor
    image_embed: Tensor

    def select(self, rows: Tensor) -> Attended:
        """The prompts with these indices."""
        return Attended(*(part[rows] for part in self))


class Segmenter(nn.Module):
    """SAM 2.1 as transformers builds it, with access to the inside of the mask decoder.

    Args:
        config: the sizes of the model.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, config: PAMConfig) -> None:
        super().__init__()
        self.sam2 = Sam2VideoModel(config.sam2)
        self.image_size = config.image_size
        # Constants, so checkpoints do not hold them.
        self.register_buffer("pixel_mean", torch.tensor(_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(_STD).view(3, 1, 1), persistent=False)

    def encode(self, images: Tensor) -> FeatureMaps:
        """Encode images once, for any number of prompts.

        Args:
            images: uint8 or float `(B, 3, S, S)`, RGB from 0 to 255.
        """
        pixels = (images.float() / 255 - self.pixel_mean) / self.pixel_std  # [B, 3, S, S]
        # The neck's three maps, each [B, C, ...], at strides of 4, 8 and 16 pixels.
        maps = self.sam2.vision_encoder(pixels.to(self._dtype)).fpn_hidden_states
        decoder = self.sam2.mask_decoder
        return FeatureMaps(decoder.conv_s0(maps[0]), decoder.conv_s1(maps[1]), maps[2])

    def decode_points(
        self, features: FeatureMaps, points: Tensor, labels: Tensor, *, all_masks: bool = False
    ) -> DecoderOutput:
        """Find the objects that points and boxes show, all in one pass.

        Args:
            features: the features of B images.
            points: float32 `(B, P, K, 2)`, x and y in pixels of the square: for each image, P
                prompts of K points each. A box is two points with `BOX_LABELS`.
            labels: int64 `(B, P, K)`: 1 on the object, 0 beside it, 2 and 3 for a box's corners.
            all_masks: whether to return the masks of all four tokens, even if there is no object;
                for training.

        Returns:
            N = B * P answers; those for the first image come first.
        """
        attended = self.attend_points(features, points, labels)
        output = self._decode(features, attended, all_masks=all_masks)
        return output if all_masks else _without_absent(output)

    def attend_points(self, features: FeatureMaps, points: Tensor, labels: Tensor) -> Attended:
        """Compute the scores without the masks: the first half of `decode_points`."""
        # In float32 even in a bf16 model, because bf16 would move a point by pixels.
        sparse, dense = self.sam2.prompt_encoder(points.float(), labels, None, None)
        # sparse: [B, P, K + 1, C]; dense: [B, C, h, w], the embedding of "no mask"
        embedding = features.embedding + self.sam2.no_memory_embedding.view(1, -1, 1, 1)
        return self._attend(embedding, sparse, dense)

    def decode_frame(
        self,
        features: FeatureMaps,
        embedding: Tensor,
        points: Tensor | None = None,
        labels: Tensor | None = None,
        previous: Tensor | None = None,
    ) -> DecoderOutput:
        """Find N objects in a video's frame, all in one pass.

        Args:
            features: the features of the frame.
            embedding: its image embedding as each object's memory changes it, `(N, C, h, w)`.
            points: as in `decode_points`, one prompt for each object, `(N, 1, K, 2)`; or None.
            labels: of the points, `(N, 1, K)`; or None.
            previous: the logits of masks to correct, float32 `(N, 1, 4 h, 4 w)`; or None.
        """
        if points is None or labels is None:
            # One point without a meaning stands for the prompt of an object that is only tracked.
            points = embedding.new_zeros(len(embedding), 1, 1, 2)
            labels = points.new_full((len(embedding), 1, 1), PADDING_LABEL, dtype=torch.long)
        sparse, dense = self.sam2.prompt_encoder(points.float(), labels, None, previous)
        attended = self._attend(embedding, sparse, dense)
        return _without_absent(self._decode(features, attended, all_masks=False))

    def decode_masks(self, features: FeatureMaps, masks: Tensor) -> DecoderOutput:
        """Compute the region features of given masks; the masks themselves are the answers.

        Args:
            features: the features of N images, one for each mask, or of one image for all masks.
            masks: float `(N, 1, S, S)`, 0 or 1, in the frame of the square image.
        """
        sam2, count = self.sam2, len(masks)
        # The prompt encoder and the small convolution before it stay in float32.
        small = sam2.mask_downsample(
            masks.to(sam2.mask_downsample.weight.dtype)
        )  # [N, 1, 4 h, 4 w]
        # One point without a meaning replaces the points, which a mask does not need.
        nothing = masks.new_zeros(count, 1, 1, 2, dtype=torch.float32)
        padding = torch.full((count, 1, 1), PADDING_LABEL, device=masks.device)
        sparse, dense = sam2.prompt_encoder(nothing, padding, None, small.float())
        if len(features.embedding) != count:
            features = features.repeat(count)
        # The "no memory" embedding is left out, because the published weights were trained without.
        attended = self._attend(features.embedding, sparse, dense)
        output = self._decode(features, attended, all_masks=False)
        present = masks.flatten(1).amax(dim=1) > 0  # [N]; the mask decides, not the object score
        logits = F.interpolate(
            masks.float() * _MASK_SCALE + _MASK_BIAS,
            size=output.mask_logits.shape[-2:],
            mode="bilinear",
            align_corners=False,
            antialias=True,
        )
        pointers = torch.where(
            present[:, None], output.object_pointers, sam2.no_object_pointer.to(self._dtype)
        )
        return output._replace(
            mask_logits=logits,
            iou_scores=torch.ones_like(output.iou_scores),
            object_scores=present.float() * _MASK_SCALE + _MASK_BIAS,
            object_pointers=pointers,
        )

    @property
    def _dtype(self) -> torch.dtype:
        return self.sam2.mask_decoder.iou_token.weight.dtype

    def _attend(self, embedding: Tensor, sparse: Tensor, dense: Tensor) -> Attended:
        """Let prompts and image attend to each other.

        Args:
            embedding: the image embedding of B images, `(B, C, h, w)`.
            sparse: the embeddings of P prompts for each image, `(B, P, K + 1, C)`.
            dense: the embedding of a mask or of "no mask", `(B, C, h, w)`.
        """
        decoder = self.sam2.mask_decoder
        prompts = sparse.shape[1]
        own = torch.cat(
            [decoder.obj_score_token.weight, decoder.iou_token.weight, decoder.mask_tokens.weight]
        )  # [6, C]: object score, predicted IoU, four masks
        tokens = torch.cat(
            [own.expand(*sparse.shape[:2], -1, -1), sparse.to(own.dtype)], dim=2
        ).flatten(0, 1)  # [N, 6 + K + 1, C]
        image = (embedding + dense.to(own.dtype)).repeat_interleave(prompts, dim=0)  # [N, C, h, w]
        code = self.sam2.get_image_wide_positional_embeddings().to(own.dtype)  # [1, C, h, w]
        tokens, image_side = decoder.transformer(
            point_embeddings=tokens.unsqueeze(1),
            image_embeddings=image,
            image_positional_embeddings=code.expand(len(image), -1, -1, -1),
            attention_similarity=None,
        )
        tokens = tokens.squeeze(1)  # [N, 6 + K + 1, C]
        return Attended(
            tokens=tokens[:, 2:6],
            iou_scores=decoder.iou_prediction_head(tokens[:, 1]).float(),
            object_scores=decoder.pred_obj_score_head(tokens[:, 0]).squeeze(-1).float(),
            image_embed=image_side.squeeze(1).transpose(1, 2).unflatten(2, image.shape[-2:]),
        )

    def _decode(
        self, features: FeatureMaps, attended: Attended, *, all_masks: bool
    ) -> DecoderOutput:
        """Draw the masks and choose the tokens that the Perceiver reads."""
        tokens, iou_scores, object_scores, image_embed = attended
        masks = self.draw_masks(features, attended, 4 if all_masks else 1)
        pointers = torch.where(
            object_scores[:, None] > 0,
            self.sam2.object_pointer_proj(tokens[:, 0]),
            self.sam2.no_object_pointer,
        )  # [N, C]
        # As in Meta's code: token 0 if its mask is stable, else the best of the other tokens.
        decoder = self.sam2.mask_decoder
        steadiness = stability(masks[:, 0], decoder.dynamic_multimask_stability_delta)
        stable = steadiness >= decoder.dynamic_multimask_stability_thresh
        chosen = torch.where(stable, 0, iou_scores[:, 1:].argmax(dim=1) + 1)  # [N]
        rows = torch.arange(len(chosen), device=chosen.device)
        mask_tokens = torch.stack([tokens[rows, chosen], tokens[:, 0]], dim=1)  # [N, 2, C]
        return DecoderOutput(masks, iou_scores, object_scores, mask_tokens, image_embed, pointers)

    def draw_masks(self, features: FeatureMaps, attended: Attended, count: int = 1) -> Tensor:
        """Upscale the image side and read `count` masks from it: float32 `(N, count, 4 h, 4 w)`.

        Args:
            features: the features of B images with the same number of prompts each.
            attended: the decoder's state for N prompts.
            count: the number of tokens whose masks are drawn, from token 0 on.
        """
        decoder = self.sam2.mask_decoder
        stride4, stride8 = features.stride4, features.stride8
        if len(stride4) > 1:
            prompts = len(attended.tokens) // len(stride4)
            stride4, stride8, _ = features.repeat(prompts)
        # [N, C, h, w] -> [N, C / 4, 2 h, 2 w] -> [N, C / 8, 4 h, 4 w]
        upscaled = decoder.upscale_conv1(attended.image_embed) + stride8
        upscaled = decoder.activation(decoder.upscale_layer_norm(upscaled))
        upscaled = decoder.activation(decoder.upscale_conv2(upscaled) + stride4)
        weights = torch.stack(
            [decoder.output_hypernetworks_mlps[i](attended.tokens[:, i]) for i in range(count)],
            dim=1,
        )  # [N, count, C / 8]
        return torch.einsum("nmc,nchw->nmhw", weights, upscaled).float()


def _without_absent(output: DecoderOutput) -> DecoderOutput:
    """Empty the masks where there is no object."""
    present = (output.object_scores > 0)[:, None, None, None]  # [N, 1, 1, 1]
    return output._replace(mask_logits=torch.where(present, output.mask_logits, NO_OBJECT_LOGIT))


def stability(logits: Tensor, delta: float) -> Tensor:
    """How little masks change with their threshold: `(N, H, W)` logits -> `(N,)` from 0 to 1.

    It is the IoU of the masks cut at `delta` and at `-delta`, or 1 if both are empty.
    """
    inner = (logits > delta).flatten(1).sum(dim=1)  # [N]; the inner mask lies within the outer
    outer = (logits > -delta).flatten(1).sum(dim=1)
    return torch.where(outer > 0, inner / outer.clamp(min=1), 1.0)
