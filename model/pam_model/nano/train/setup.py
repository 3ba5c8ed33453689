"""Build a nano with fresh weights, and prepare it for training on still images."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers import PreTrainedTokenizerBase
from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoModel

from pam_model.config import PAMConfig
from pam_model.nano.world import HELD_OUT_SEED
from pam_model.network import PAMNetwork

# Parameters that only a video needs; training leaves them as they are.
_OF_VIDEO = (
    "segmenter.sam2.memory_",
    "segmenter.sam2.no_memory_positional_encoding",
    "segmenter.sam2.occlusion_spatial_embedding_parameter",
    "segmenter.sam2.no_object_pointer",
    "segmenter.sam2.object_pointer_proj.",
    "segmenter.sam2.temporal_positional_encoding_projection_layer.",
    "perceiver.proj.",
    "projector.frame_newline",
)


def fresh_network(config: PAMConfig, tokenizer: PreTrainedTokenizerBase, seed: int) -> PAMNetwork:
    """Build a network on the CPU with random weights, ready to be trained from scratch."""
    torch.manual_seed(seed)
    # transformers widens the types that a tokenizer takes and returns.
    network = PAMNetwork(config, tokenizer)  # type: ignore[arg-type]
    _initialise(network.segmenter.sam2)
    _tie_queries_to_keys(network)
    return network


def scene_seed(seed: int, steps: int) -> int:
    """Return the seed of a call's scenes: a new one for each call, and never a held-out one.

    Args:
        seed: the seed of the whole training.
        steps: the number of steps trained in earlier calls.
    """
    return (seed * 1_000_003 + steps + 1) % HELD_OUT_SEED


def freeze_video_parts(network: PAMNetwork) -> None:
    """Train only the parameters that still images reach."""
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(not name.startswith(_OF_VIDEO))


@torch.no_grad()
def _initialise(sam2: Sam2VideoModel) -> None:
    # transformers draws all weights with a standard deviation of 0.02. In layers as narrow as
    # these, every signal would vanish, and training would start slowly.
    for name, module in sam2.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            fan_in = module.weight[0].numel()
            residual = name.endswith(("proj_out", ".proj", "o_proj"))
            nn.init.normal_(module.weight, std=(0.5 if residual else 1.0) / math.sqrt(fan_in))
        elif isinstance(module, nn.Embedding):
            nn.init.normal_(module.weight, std=1.0)
    backbone = sam2.vision_encoder.backbone
    no_mask = sam2.prompt_encoder.no_mask_embed.weight
    for code in (backbone.pos_embed, backbone.pos_embed_window, no_mask):
        nn.init.normal_(code, std=0.1)
    # For an empty mask, the layer norms see only biases. If all were 0, gradients would explode.
    for part in (sam2.mask_downsample, *sam2.prompt_encoder.mask_embed.children()):
        if isinstance(part, nn.Conv2d) and part.bias is not None:
            nn.init.normal_(part.bias, std=0.5)
    # transformers keeps this matrix twice.
    sam2.prompt_encoder.shared_embedding.positional_embedding.copy_(
        sam2.shared_image_embedding.positional_embedding
    )


@torch.no_grad()
def _tie_queries_to_keys(network: PAMNetwork) -> None:
    """Start with equal queries and keys in cross attention, so that a prompt looks at its place."""
    attention: Any
    for name, attention in network.named_modules():
        if name.endswith(("token_to_image", "image_to_token")):
            attention.q_proj.weight.copy_(attention.k_proj.weight)
            attention.q_proj.bias.copy_(attention.k_proj.bias)


def skip_position_codes(network: PAMNetwork) -> None:
    """Skip the position codes of the neck, which only a video's memory reads."""
    neck = network.segmenter.sam2.vision_encoder.neck
    nothing = torch.empty(0, device=network.segmenter.pixel_mean.device)
    neck.position_encoding.forward = lambda *_: nothing


def interpolate_positions_linearly(network: PAMNetwork) -> None:
    """Compute the trunk's position codes by a matrix product instead of `F.interpolate`.

    The result is the same. On a GPU, the gradient of bicubic interpolation, which sums 16,384 cells
    into 49, takes longer than a whole stage of the trunk.
    """
    backbone = network.segmenter.sam2.vision_encoder.backbone
    cells = network.config.image_size // 4
    side = backbone.pos_embed.shape[-1]
    units = torch.eye(side * side).view(-1, 1, side, side)
    large = F.interpolate(units, size=(cells, cells), mode="bicubic")
    weights = large.flatten(1).to(backbone.pos_embed.device)  # [side * side, cells * cells]

    def position_codes(size: tuple[int, int]) -> Tensor:
        coarse = (backbone.pos_embed.flatten(2).float() @ weights).view(
            1, -1, *size
        )  # [1, C, h, w]
        window = backbone.pos_embed_window
        repeats = [a // b for a, b in zip(coarse.shape, window.shape, strict=True)]
        codes: Tensor = coarse.to(window.dtype) + window.tile(repeats)
        return codes.permute(0, 2, 3, 1)

    backbone._get_pos_embed = position_codes


def compile_parts(network: PAMNetwork) -> None:
    """Compile the blocks of the trunk and of the language model.

    They do most of the work; compiling the rest would take longer than it saves.
    """
    torch._dynamo.config.recompile_limit = 128
    trunk = network.segmenter.sam2.vision_encoder.backbone
    for block in (*trunk.blocks, *network.language.qwen2.model.layers):
        block.compile(dynamic=False)
