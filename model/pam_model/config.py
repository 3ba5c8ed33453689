"""The sizes of a PAM: SAM 2.1, the Semantic Perceiver and the language model."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, cast

from transformers import Qwen2Config
from transformers.models.sam2_video.configuration_sam2_video import (
    Sam2VideoConfig,
    Sam2VideoMaskDecoderConfig,
    Sam2VideoPromptEncoderConfig,
)

PATCH_SIZE = 16
"""Side in pixels of a cell of SAM's image embedding."""


@dataclass(frozen=True)
class PerceiverConfig:
    """The sizes of the Semantic Perceiver; its width is that of SAM's prompt encoder.

    Attributes:
        depth: the number of two-way attention layers.
        num_heads: the number of attention heads.
        mlp_dim: the hidden width of each layer's MLP.
        num_semantic_tokens: the number of learned tokens that become words.
    """

    depth: int = 2
    num_heads: int = 8
    mlp_dim: int = 2048
    num_semantic_tokens: int = 16


@dataclass(frozen=True)
class PAMConfig:
    """The sizes of the three parts. Each part's defaults are those of the published PAM.

    Attributes:
        sam2: SAM 2.1 with its memory parts.
        language: Qwen2.5.
        perceiver: the Semantic Perceiver.
    """

    sam2: Sam2VideoConfig
    language: Qwen2Config
    perceiver: PerceiverConfig = PerceiverConfig()

    @property
    def image_size(self) -> int:
        """Side in pixels of the square that every image is squashed to."""
        return cast("int", self.sam2.image_size)

    @property
    def width(self) -> int:
        """Channels of SAM's image embedding, and of the Perceiver."""
        return cast("Sam2VideoPromptEncoderConfig", self.sam2.prompt_encoder_config).hidden_size

    def to_dict(self) -> dict[str, Any]:
        """`config.json`: the published keys, with `sam2` and `perceiver` beside them."""
        return {
            **self.language.to_dict(),
            "model_type": "llava_qwen",
            "mm_projector_type": "mlp2x_gelu",
            "mm_hidden_size": self.width,
            "sam2": self.sam2.to_dict(),
            "perceiver": asdict(self.perceiver),
        }


def sam2_config(
    *,
    image_size: int = 1024,
    widths: tuple[int, ...] = (144, 288, 576, 1152),
    heads: tuple[int, ...] = (2, 4, 8, 16),
    blocks: tuple[int, ...] = (2, 6, 36, 4),
    windows: tuple[int, ...] = (8, 4, 16, 8),
    global_blocks: tuple[int, ...] = (23, 33, 43),
    width: int = 256,
    decoder_heads: int = 8,
    decoder_mlp: int = 2048,
    memory_width: int = 64,
    memory_layers: int = 4,
    memory_mlp: int = 2048,
    memory_fuser_mlp: int = 1024,
) -> Sam2VideoConfig:
    """SAM 2.1 as transformers describes it; the defaults are hiera-large.

    Args:
        image_size: the side in pixels of the square image, a multiple of 32.
        widths: the channels of the trunk's four stages; heads, blocks and windows likewise.
        global_blocks: the indices of the trunk's blocks that attend to the whole map.
        width: the channels of the image embedding, the prompt encoder and the mask decoder.
        decoder_heads: the attention heads of the mask decoder; `decoder_mlp` is its MLP's width.
        memory_width: the channels of a frame's memory; `memory_*` size its attention and encoder.
    """
    cells = image_size // PATCH_SIZE
    trunk = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": widths[0],
        "num_attention_heads": heads[0],
        "image_size": [image_size, image_size],
        "blocks_per_stage": list(blocks),
        "embed_dim_per_stage": list(widths),
        "num_attention_heads_per_stage": list(heads),
        "window_size_per_stage": list(windows),
        "global_attention_blocks": list(global_blocks),
    }
    return Sam2VideoConfig(
        image_size=image_size,
        multimask_output_in_sam=False,  # Meta's yaml says true; PAM reads one mask, of token 0
        vision_config=_vision_config(trunk, cells, width),
        prompt_encoder_config={"hidden_size": width, "image_size": image_size},
        # An object, because transformers 5.17 takes a dictionary for the prompt encoder's config.
        mask_decoder_config=Sam2VideoMaskDecoderConfig(
            hidden_size=width,
            mlp_dim=decoder_mlp,
            num_attention_heads=decoder_heads,
            iou_head_hidden_dim=width,
        ),
        memory_attention_hidden_size=width,
        memory_attention_num_layers=memory_layers,
        memory_attention_feed_forward_hidden_size=memory_mlp,
        memory_attention_rope_feat_sizes=[cells, cells],
        memory_encoder_hidden_size=width,
        memory_encoder_output_channels=memory_width,
        mask_downsampler_embed_dim=width,
        memory_fuser_embed_dim=width,
        memory_fuser_intermediate_dim=memory_fuser_mlp,
    )


def _vision_config(trunk: dict[str, Any], cells: int, width: int) -> dict[str, Any]:
    """The trunk and its neck, which turns each map that it keeps into `width` channels."""
    return {
        "model_type": "sam2_vision_model",
        "backbone_config": trunk,
        # The neck lists its channels from the deepest stage to the first.
        "backbone_channel_list": trunk["embed_dim_per_stage"][::-1],
        "backbone_feature_sizes": [[cells * scale] * 2 for scale in (4, 2, 1)],
        "fpn_hidden_size": width,
    }
