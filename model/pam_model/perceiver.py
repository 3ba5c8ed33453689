"""The Semantic Perceiver and the projectors: region features -> rows of the language model.

Modules and parameters have the names of the published checkpoint. Each of N regions has an image
embedding of h x w cells with C channels, and S semantic tokens; in PAM-3B, h = w = 64, C = 256 and
S = 16.
"""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pam_model.config import PAMConfig

CLIP_FRAMES = 16
"""The number of frames of a clip that the language model reads."""


def clip_frames(count: int) -> list[int]:
    """The `CLIP_FRAMES` frames, of `count` frames in order, that the language model reads.

    They are the first frame, and 15 spread evenly from the second to the last. In a clip of fewer
    than 16 frames the same formula takes every frame, and some of them several times, because PAM
    was trained on exactly 16 frames. The only frame of a clip is taken 16 times.

    Args:
        count: the number of frames, at least 1.
    """
    later = np.linspace(min(1, count - 1), count - 1, CLIP_FRAMES - 1, dtype=int)
    return [0, *later.tolist()]


class _Attention(nn.Module):
    """Multi-head attention whose inner width may be smaller than the model's."""

    def __init__(self, width: int, num_heads: int, downsample: int) -> None:
        super().__init__()
        inner = width // downsample
        self.num_heads = num_heads
        self.q_proj = nn.Linear(width, inner)
        self.k_proj = nn.Linear(width, inner)
        self.v_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)

    def forward(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        heads = [
            projection(x).unflatten(-1, (self.num_heads, -1)).transpose(1, 2)
            for projection, x in (
                (self.q_proj, query),
                (self.k_proj, key),
                (self.v_proj, value),
            )
        ]  # each [B, heads, length, head_dim]
        mixed = F.scaled_dot_product_attention(*heads)  # [B, heads, queries, head_dim]
        return cast("Tensor", self.out_proj(mixed.transpose(1, 2).flatten(-2)))


class _MLP(nn.Module):
    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(width, hidden), nn.Linear(hidden, width)])

    def forward(self, x: Tensor) -> Tensor:
        return cast("Tensor", self.layers[1](F.relu(self.layers[0](x))))


class _TwoWayLayer(nn.Module):
    """Tokens attend to themselves and to the map; then the map attends to the tokens."""

    def __init__(self, width: int, num_heads: int, mlp_dim: int, *, first: bool) -> None:
        super().__init__()
        self.first = first
        self.self_attn = _Attention(width, num_heads, 1)
        self.norm1 = nn.LayerNorm(width)
        self.cross_attn_token_to_image = _Attention(width, num_heads, 2)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = _MLP(width, mlp_dim)
        self.norm3 = nn.LayerNorm(width)
        self.norm4 = nn.LayerNorm(width)
        self.cross_attn_image_to_token = _Attention(width, num_heads, 2)

    def forward(
        self, tokens: Tensor, keys: Tensor, token_code: Tensor, key_code: Tensor
    ) -> tuple[Tensor, Tensor]:
        if self.first:  # PAM's first layer has neither a position code nor a residual here
            tokens = self.self_attn(tokens, tokens, tokens)
        else:
            coded = tokens + token_code
            tokens = tokens + self.self_attn(coded, coded, tokens)
        tokens = self.norm1(tokens)  # [N, 2 + S, C]
        coded_keys = keys + key_code  # [N, h * w, C]; computed once for both directions
        tokens = self.norm2(
            tokens + self.cross_attn_token_to_image(tokens + token_code, coded_keys, keys)
        )
        tokens = self.norm3(tokens + self.mlp(tokens))
        keys = self.norm4(
            keys + self.cross_attn_image_to_token(coded_keys, tokens + token_code, tokens)
        )
        return tokens, keys


class _PositionCode(nn.Module):
    """Random-Fourier code of a square map's cells, with the matrix of the checkpoint."""

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        matrix = torch.randn(2, width // 2)
        self.register_buffer("positional_encoding_gaussian_matrix", matrix)

    def forward(self, height: int, width: int) -> Tensor:
        """Return the codes of all cells, row by row: float32 `(height * width, channels)`."""
        matrix = self.positional_encoding_gaussian_matrix.float()
        y = (torch.arange(height, device=matrix.device) + 0.5) / height
        x = (torch.arange(width, device=matrix.device) + 0.5) / width
        grid = torch.stack(torch.meshgrid(x, y, indexing="xy"), dim=-1)  # [h, w, (x, y)]
        angles = 2 * math.pi * ((2 * grid - 1) @ matrix)  # [h, w, channels / 2]
        return torch.cat([angles.sin(), angles.cos()], dim=-1).flatten(0, 1)


class PerceiverOutput(NamedTuple):
    """The Perceiver's tokens of N regions.

    Attributes:
        semantic: the semantic tokens, `(N, S, C)`.
        image: the image tokens, `(N, h * w / 4, 4 C)`; of a later video frame,
            `(N, h * w / 16, 4 C)`.
    """

    semantic: Tensor
    image: Tensor


class SemanticPerceiver(nn.Module):
    """Two-way attention between a region's tokens and its image embedding.

    Args:
        config: the sizes of the model; the Perceiver is as wide as SAM's image embedding.
    """

    def __init__(self, config: PAMConfig) -> None:
        super().__init__()
        width, sizes = config.width, config.perceiver
        self.pe_layer = _PositionCode(width)
        self.sem_tokens = nn.Embedding(sizes.num_semantic_tokens, width)
        self.layers = nn.ModuleList(
            _TwoWayLayer(width, sizes.num_heads, sizes.mlp_dim, first=index == 0)
            for index in range(sizes.depth)
        )
        self.final_attn_token_to_image = _Attention(width, sizes.num_heads, 2)
        self.norm_final_attn = nn.LayerNorm(width)
        # Only later frames of a video are packed 4 x 4, which makes 16 C, projected to 4 C.
        self.proj = nn.Linear(16 * width, 4 * width)

    def forward(
        self, mask_tokens: Tensor, image_embed: Tensor, *, later_frame: bool = False
    ) -> PerceiverOutput:
        """Read N regions.

        Args:
            mask_tokens: the mask decoder's tokens, `(N, 2, C)`.
            image_embed: the mask decoder's image side, `(N, C, h, w)`; h and w are multiples of 4.
            later_frame: whether this is a video's later frame, for which 4 x 4 cells are packed
                instead of 2 x 2.
        """
        count, _, height, width = image_embed.shape
        learned = self.sem_tokens.weight.expand(count, -1, -1)
        tokens = token_code = torch.cat([mask_tokens, learned], dim=1)  # [N, 2 + S, C]
        keys = image_embed.flatten(2).transpose(1, 2)  # [N, h * w, C]
        key_code = self.pe_layer(height, width).to(keys.dtype)  # [h * w, C]
        for layer in self.layers:
            tokens, keys = layer(tokens, keys, token_code, key_code)
        tokens = tokens + self.final_attn_token_to_image(tokens + token_code, keys + key_code, keys)
        # Only the learned tokens become words; the two mask tokens are not needed any more.
        semantic = self.norm_final_attn(tokens)[:, -learned.shape[1] :]  # [N, S, C]
        image = _pack(keys.view(count, height, width, -1), 4 if later_frame else 2)
        return PerceiverOutput(semantic, self.proj(image) if later_frame else image)


def _pack(keys: Tensor, rate: int) -> Tensor:
    """Join blocks of `rate` x `rate` cells, column by column.

    `(N, h, w, C)` -> `(N, h * w / rate ** 2, rate ** 2 * C)`.
    """
    count, height, width, channels = keys.shape
    blocks = keys.view(count, height // rate, rate, width // rate, rate, channels)
    # Blocks go column by column, because the published model was trained in this order.
    return blocks.permute(0, 3, 1, 2, 4, 5).reshape(count, -1, rate * rate * channels)


class VisualProjector(nn.Module):
    """The MLPs that turn the Perceiver's tokens into rows of the language model."""

    def __init__(self, config: PAMConfig) -> None:
        super().__init__()
        hidden = config.language.hidden_size
        self.mm_projector_img = _projector(4 * config.width, hidden)
        self.mm_projector_semT = _projector(config.width, hidden)
        self.image_newline = nn.Parameter(torch.randn(hidden) * hidden**-0.5)
        self.semT_newline = nn.Parameter(torch.randn(hidden) * hidden**-0.5)
        self.frame_newline = nn.Parameter(torch.randn(hidden) * hidden**-0.5)

    def forward(self, perceived: PerceiverOutput, *, in_clip: bool = False) -> Tensor:
        """Return the rows of N regions, `(N, rows, hidden)`.

        Args:
            perceived: the Perceiver's tokens of the regions.
            in_clip: whether the regions are frames of a clip, which end with one more row.
        """
        count = len(perceived.image)
        parts = [
            self.mm_projector_img(perceived.image),
            self.image_newline.expand(count, 1, -1),
            self.mm_projector_semT(perceived.semantic),
            self.semT_newline.expand(count, 1, -1),
        ]
        if in_clip:
            parts.append(self.frame_newline.expand(count, 1, -1))
        return torch.cat(parts, dim=1)


def _projector(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.GELU(), nn.Linear(outputs, outputs))
