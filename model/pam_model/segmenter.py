"""SAM 2.1: an image -> features; prompts -> masks and the region features that PAM reads.

Everything here is tensors in the model's own frame: images are squares of `image_size` pixels,
points are pixels of that square. Functions are differentiable; nothing here chooses a device.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoModel

if TYPE_CHECKING:
    from pam_model.config import PAMConfig

PADDING_LABEL = -1
"""The label of a point that says nothing; one is appended to every prompt of points."""
BOX_LABELS = (2, 3)
"""The labels of a box's top-left and bottom-right corner."""
NO_OBJECT_LOGIT = -1024.0
"""The mask logit of every pixel where the model finds no object."""

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
# A mask given as the prompt is the answer; these make logits of it, as in Meta's SAM 2.
_MASK_SCALE, _MASK_BIAS = 20.0, -10.0


class FeatureMaps(NamedTuple):
    """What the image encoder saw in B images, for an image embedding of h x w cells.

    Attributes:
        stride4: `(B, C / 8, 4 h, 4 w)`, ready for the mask decoder.
        stride8: `(B, C / 4, 2 h, 2 w)`, ready for the mask decoder.
        embedding: `(B, C, h, w)`, without the "no memory" embedding.
    """

    stride4: Tensor
    stride8: Tensor
    embedding: Tensor

    def image(self, row: int) -> FeatureMaps:
        """A copy of one image's features, which does not keep the others alive."""
        return FeatureMaps(*(part[row : row + 1].clone() for part in self))

    def repeat(self, times: int) -> FeatureMaps:
        """Repeat each image `times` times in the batch."""
        return FeatureMaps(*(part.repeat_interleave(times, dim=0) for part in self))


class DecoderOutput(NamedTuple):
    """What the mask decoder found for N prompts.

    Attributes:
        mask_logits: `(N, M, 4 h, 4 w)`; M is 1 (token 0, the answer) or 4 (all, for training).
        iou_scores: `(N, 4)`, predicted IoU of the mask of each token.
        object_scores: `(N,)` logits; at 0 or less there is no object.
        mask_tokens: `(N, 2, C)`: the stable choice, and token 0.
        image_embed: `(N, C, h, w)`: the decoder's image side, before upscaling.
        object_pointers: `(N, C)`.
    """

    mask_logits: Tensor
    iou_scores: Tensor
    object_scores: Tensor
    mask_tokens: Tensor
    image_embed: Tensor
    object_pointers: Tensor


class Attended(NamedTuple):
    """What the mask decoder knows of N prompts before it draws their masks.

    Attributes:
        tokens: `(N, 4, C)`, the mask tokens.
        iou_scores: `(N, 4)`, predicted IoU of the mask of each token.
        object_scores: `(N,)` logits; at 0 or less there is no object.
        image_embed: `(N, C, h, w)`: the decoder's image side, before upscaling.
    """

    tokens: Tensor
    iou_scores: Tensor
    object_scores: Tensor
    image_embed: Tensor

    def select(self, rows: Tensor) -> Attended:
        """The prompts with these indices."""
        return Attended(*(part[rows] for part in self))


class Segmenter(nn.Module):
    """SAM 2.1 through transformers, with the mask decoder opened up.

    Args:
        config: sizes.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, config: PAMConfig) -> None:
        super().__init__()
        self.sam2 = Sam2VideoModel(config.sam2)
        self.image_size = config.image_size
        # Not in any checkpoint: these belong to the code.
        self.register_buffer("pixel_mean", torch.tensor(_MEAN).view(3, 1, 1), persistent=False)
        self.register_buffer("pixel_std", torch.tensor(_STD).view(3, 1, 1), persistent=False)

    def encode(self, images: Tensor) -> FeatureMaps:
        """Encode images once, for any number of prompts.

        Args:
            images: uint8 or float `(B, 3, S, S)`, RGB from 0 to 255.
        """
        pixels = (images.float() / 255 - self.pixel_mean) / self.pixel_std
        sam2 = self.sam2
        stride4, stride8, embedding = sam2.vision_encoder(pixels.to(self._dtype)).fpn_hidden_states
        return FeatureMaps(
            sam2.mask_decoder.conv_s0(stride4), sam2.mask_decoder.conv_s1(stride8), embedding
        )

    def decode_points(
        self, features: FeatureMaps, points: Tensor, labels: Tensor, *, all_masks: bool = False
    ) -> DecoderOutput:
        """Find the objects that points and boxes show, all of them in one pass.

        Args:
            features: of B images.
            points: float32 `(B, P, K, 2)`, x and y in pixels of the square: P prompts an image of
                K points each. A box is two points, with `BOX_LABELS`.
            labels: int64 `(B, P, K)`: 1 on the object, 0 beside it, 2 and 3 a box's corners.
            all_masks: for training: the masks of all four tokens, also where no object is found.

        Returns:
            N = B * P answers, those of the first image first.
        """
        attended = self.attend_points(features, points, labels)
        output = self._decode(features, attended, all_masks=all_masks)
        if all_masks:
            return output
        present = (output.object_scores > 0)[:, None, None, None]
        return output._replace(
            mask_logits=torch.where(present, output.mask_logits, NO_OBJECT_LOGIT)
        )

    def attend_points(self, features: FeatureMaps, points: Tensor, labels: Tensor) -> Attended:
        """The first half of `decode_points`: the scores, without the masks."""
        # In float32 also in a bf16 model: bf16 would move a point by pixels.
        sparse, dense = self.sam2.prompt_encoder(points.float(), labels, None, None)
        embedding = features.embedding + self.sam2.no_memory_embedding.view(1, -1, 1, 1)
        return self._attend(embedding, sparse, dense)

    def decode_masks(self, features: FeatureMaps, masks: Tensor) -> DecoderOutput:
        """Read the regions of masks: the mask itself is the answer, the decoder reads its features.

        Args:
            features: of N images, one for each mask (or of one for all).
            masks: float `(N, 1, S, S)`, 0 or 1, in the frame of the square image.
        """
        sam2, count = self.sam2, len(masks)
        # The prompt encoder stays in float32; so does the little convolution before it.
        small = sam2.mask_downsample(masks.to(sam2.mask_downsample.weight.dtype))
        nothing = masks.new_zeros(count, 1, 1, 2, dtype=torch.float32)
        padding = torch.full((count, 1, 1), PADDING_LABEL, device=masks.device)
        sparse, dense = sam2.prompt_encoder(nothing, padding, None, small.float())
        if len(features.embedding) != count:
            features = features.repeat(count)
        # Without the "no memory" embedding: so the published weights were trained.
        attended = self._attend(features.embedding, sparse, dense)
        output = self._decode(features, attended, all_masks=False)
        present = masks.flatten(1).amax(dim=1) > 0  # the mask decides, not the object score
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
            embedding: `(B, C, h, w)` of B images.
            sparse: `(B, P, K + 1, C)`, P prompts an image.
            dense: `(B, C, h, w)`.
        """
        decoder = self.sam2.mask_decoder
        prompts = sparse.shape[1]
        own = torch.cat(
            [decoder.obj_score_token.weight, decoder.iou_token.weight, decoder.mask_tokens.weight]
        )
        tokens = torch.cat(
            [own.expand(*sparse.shape[:2], -1, -1), sparse.to(own.dtype)], dim=2
        ).flatten(0, 1)  # [N, 6 + K + 1, C]
        image = (embedding + dense.to(own.dtype)).repeat_interleave(prompts, dim=0)
        code = self.sam2.get_image_wide_positional_embeddings().to(own.dtype)
        tokens, image_side = decoder.transformer(
            point_embeddings=tokens.unsqueeze(1),
            image_embeddings=image,
            image_positional_embeddings=code.expand(len(image), -1, -1, -1),
            attention_similarity=None,
        )
        tokens = tokens.squeeze(1)
        return Attended(
            tokens=tokens[:, 2:6],
            iou_scores=decoder.iou_prediction_head(tokens[:, 1]).float(),
            object_scores=decoder.pred_obj_score_head(tokens[:, 0]).squeeze(-1).float(),
            image_embed=image_side.squeeze(1).transpose(1, 2).unflatten(2, image.shape[-2:]),
        )

    def _decode(
        self, features: FeatureMaps, attended: Attended, *, all_masks: bool
    ) -> DecoderOutput:
        """Draw the masks, and choose the tokens that the Perceiver reads."""
        tokens, iou_scores, object_scores, image_embed = attended
        masks = self.draw_masks(features, attended, 4 if all_masks else 1)
        pointers = torch.where(
            object_scores[:, None] > 0,
            self.sam2.object_pointer_proj(tokens[:, 0]),
            self.sam2.no_object_pointer,
        )
        chosen = self._stable_token(masks[:, 0], iou_scores)
        rows = torch.arange(len(chosen), device=chosen.device)
        mask_tokens = torch.stack([tokens[rows, chosen], tokens[:, 0]], dim=1)
        return DecoderOutput(masks, iou_scores, object_scores, mask_tokens, image_embed, pointers)

    def draw_masks(self, features: FeatureMaps, attended: Attended, count: int = 1) -> Tensor:
        """Upscale the image side and read `count` masks from it: float32 `(N, count, 4 h, 4 w)`.

        Args:
            features: of B images; of one, or as many prompts an image.
            attended: N prompts.
            count: of token 0 on.
        """
        decoder = self.sam2.mask_decoder
        stride4, stride8 = features.stride4, features.stride8
        if len(stride4) > 1:
            prompts = len(attended.tokens) // len(stride4)
            stride4, stride8, _ = features.repeat(prompts)
        upscaled = decoder.upscale_conv1(attended.image_embed) + stride8
        upscaled = decoder.activation(decoder.upscale_layer_norm(upscaled))
        upscaled = decoder.activation(decoder.upscale_conv2(upscaled) + stride4)
        weights = torch.stack(
            [decoder.output_hypernetworks_mlps[i](attended.tokens[:, i]) for i in range(count)],
            dim=1,
        )
        return torch.einsum("nmc,nchw->nmhw", weights, upscaled).float()

    def _stable_token(self, logits: Tensor, iou_scores: Tensor) -> Tensor:
        """`(N,)`: token 0 where its mask `(N, 4 h, 4 w)` is stable, else the best of the rest."""
        decoder = self.sam2.mask_decoder
        delta = decoder.dynamic_multimask_stability_delta
        stable = stability(logits, delta) >= decoder.dynamic_multimask_stability_thresh
        best = iou_scores[:, 1:].argmax(dim=1) + 1
        return torch.where(stable, 0, best)


def stability(logits: Tensor, delta: float) -> Tensor:
    """How little a mask changes with its threshold: `(N, H, W)` logits -> `(N,)` from 0 to 1.

    It is the IoU of the masks cut at `delta` and at `-delta`, and 1 where both are empty.
    """
    inner = (logits > delta).flatten(1).sum(dim=1)
    outer = (logits > -delta).flatten(1).sum(dim=1)
    return torch.where(outer > 0, inner / outer.clamp(min=1), 1.0)
