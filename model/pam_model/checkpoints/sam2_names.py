"""Rename SAM 2.1's tensors between Meta's names and those of transformers' `Sam2VideoModel`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

# Meta's name | transformers' name. {i} and {j} stand for a number, {p} for weight or bias, and
# {rest} for anything. The first row that fits counts, so general rows come last.
_TABLE = """
maskmem_tpos_enc                | memory_temporal_positional_encoding
no_mem_embed                    | no_memory_embedding
no_mem_pos_enc                  | no_memory_positional_encoding
no_obj_ptr                      | no_object_pointer
no_obj_embed_spatial            | occlusion_spatial_embedding_parameter
obj_ptr_tpos_proj.{p}           | temporal_positional_encoding_projection_layer.{p}
obj_ptr_proj.{mlp}              | object_pointer_proj.{mlp}
mask_downsample.{p}             | mask_downsample.{p}

image_encoder.trunk.patch_embed.proj.{p}         | vision_encoder.backbone.patch_embed.projection.{p}
image_encoder.trunk.blocks.{i}.norm{j}.{p}       | vision_encoder.backbone.blocks.{i}.layer_norm{j}.{p}
image_encoder.trunk.blocks.{i}.mlp.layers.0.{p}  | vision_encoder.backbone.blocks.{i}.mlp.proj_in.{p}
image_encoder.trunk.blocks.{i}.mlp.layers.1.{p}  | vision_encoder.backbone.blocks.{i}.mlp.proj_out.{p}
image_encoder.trunk.{rest}                       | vision_encoder.backbone.{rest}
image_encoder.neck.convs.{i}.conv.{p}            | vision_encoder.neck.convs.{i}.{p}

sam_prompt_encoder.mask_downscaling.0.{p}        | prompt_encoder.mask_embed.conv1.{p}
sam_prompt_encoder.mask_downscaling.1.{p}        | prompt_encoder.mask_embed.layer_norm1.{p}
sam_prompt_encoder.mask_downscaling.3.{p}        | prompt_encoder.mask_embed.conv2.{p}
sam_prompt_encoder.mask_downscaling.4.{p}        | prompt_encoder.mask_embed.layer_norm2.{p}
sam_prompt_encoder.mask_downscaling.6.{p}        | prompt_encoder.mask_embed.conv3.{p}
sam_prompt_encoder.{rest}                        | prompt_encoder.{rest}

sam_mask_decoder.transformer.layers.{i}.mlp.layers.0.{p}  | mask_decoder.transformer.layers.{i}.mlp.proj_in.{p}
sam_mask_decoder.transformer.layers.{i}.mlp.layers.1.{p}  | mask_decoder.transformer.layers.{i}.mlp.proj_out.{p}
sam_mask_decoder.transformer.layers.{i}.norm{j}.{p}       | mask_decoder.transformer.layers.{i}.layer_norm{j}.{p}
sam_mask_decoder.transformer.norm_final_attn.{p}          | mask_decoder.transformer.layer_norm_final_attn.{p}
sam_mask_decoder.transformer.layers.{i}.{attention}.out_proj.{p} | mask_decoder.transformer.layers.{i}.{attention}.o_proj.{p}
sam_mask_decoder.transformer.{attention}.out_proj.{p}     | mask_decoder.transformer.{attention}.o_proj.{p}
sam_mask_decoder.output_upscaling.0.{p}                   | mask_decoder.upscale_conv1.{p}
sam_mask_decoder.output_upscaling.1.{p}                   | mask_decoder.upscale_layer_norm.{p}
sam_mask_decoder.output_upscaling.3.{p}                   | mask_decoder.upscale_conv2.{p}
sam_mask_decoder.output_hypernetworks_mlps.{i}.{mlp}      | mask_decoder.output_hypernetworks_mlps.{i}.{mlp}
sam_mask_decoder.iou_prediction_head.{mlp}                | mask_decoder.iou_prediction_head.{mlp}
sam_mask_decoder.pred_obj_score_head.{mlp}                | mask_decoder.pred_obj_score_head.{mlp}
sam_mask_decoder.{rest}                                   | mask_decoder.{rest}

memory_attention.layers.{i}.{attention}.out_proj.{p}      | memory_attention.layers.{i}.{attention}.o_proj.{p}
memory_attention.layers.{i}.norm{j}.{p}                   | memory_attention.layers.{i}.layer_norm{j}.{p}
memory_attention.norm.{p}                                 | memory_attention.layer_norm.{p}
memory_attention.{rest}                                   | memory_attention.{rest}

memory_encoder.pix_feat_proj.{p}                          | memory_encoder.feature_projection.{p}
memory_encoder.out_proj.{p}                               | memory_encoder.projection.{p}
memory_encoder.fuser.layers.{i}.gamma                     | memory_encoder.memory_fuser.layers.{i}.scale
memory_encoder.fuser.layers.{i}.dwconv.{p}                | memory_encoder.memory_fuser.layers.{i}.depthwise_conv.{p}
memory_encoder.fuser.layers.{i}.pwconv{j}.{p}             | memory_encoder.memory_fuser.layers.{i}.pointwise_conv{j}.{p}
memory_encoder.fuser.layers.{i}.norm.{p}                  | memory_encoder.memory_fuser.layers.{i}.layer_norm.{p}
memory_encoder.mask_downsampler.encoder.0.{p}             | memory_encoder.mask_downsampler.layers.0.conv.{p}
memory_encoder.mask_downsampler.encoder.1.{p}             | memory_encoder.mask_downsampler.layers.0.layer_norm.{p}
memory_encoder.mask_downsampler.encoder.3.{p}             | memory_encoder.mask_downsampler.layers.1.conv.{p}
memory_encoder.mask_downsampler.encoder.4.{p}             | memory_encoder.mask_downsampler.layers.1.layer_norm.{p}
memory_encoder.mask_downsampler.encoder.6.{p}             | memory_encoder.mask_downsampler.layers.2.conv.{p}
memory_encoder.mask_downsampler.encoder.7.{p}             | memory_encoder.mask_downsampler.layers.2.layer_norm.{p}
memory_encoder.mask_downsampler.encoder.9.{p}             | memory_encoder.mask_downsampler.layers.3.conv.{p}
memory_encoder.mask_downsampler.encoder.10.{p}            | memory_encoder.mask_downsampler.layers.3.layer_norm.{p}
memory_encoder.mask_downsampler.encoder.12.{p}            | memory_encoder.mask_downsampler.final_conv.{p}
"""  # noqa: E501 (a row is a pair of names, and stays on one line)
_PATTERNS = {
    "{i}": r"(?P<i>\d+)",
    "{j}": r"(?P<j>\d+)",
    "{p}": r"(?P<p>weight|bias)",
    "{attention}": r"(?P<attention>\w*attn\w*)",
    "{rest}": r"(?P<rest>.+)",
}
# The three layers of an MLP.
_MLP_LAYERS = (
    ("layers.0.{p}", "proj_in.{p}"),
    ("layers.1.{p}", "layers.0.{p}"),
    ("layers.2.{p}", "proj_out.{p}"),
)
# One side keeps these in one tensor, the other in several.
_POINTS = "sam_prompt_encoder.point_embeddings.{}.weight"
_POINT_ROWS = "prompt_encoder.point_embed.weight"
_FOURIER = "sam_prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
POSITION_MATRICES = (
    "shared_image_embedding.positional_embedding",
    "prompt_encoder.shared_embedding.positional_embedding",
)


def _pairs() -> Iterable[tuple[str, str]]:
    for line in filter(None, _TABLE.splitlines()):
        meta, ours = (side.strip() for side in line.split("|"))
        if "{mlp}" in meta:
            for theirs_layer, ours_layer in _MLP_LAYERS:
                yield meta.replace("{mlp}", theirs_layer), ours.replace("{mlp}", ours_layer)
        else:
            yield meta, ours


def _pattern(name: str) -> re.Pattern[str]:
    pieces = re.split(r"(\{\w+\})", name)
    return re.compile("".join(_PATTERNS.get(piece) or re.escape(piece) for piece in pieces))


_TO_TRANSFORMERS = [(_pattern(meta), ours) for meta, ours in _pairs()]
_TO_META = [(_pattern(ours), meta) for meta, ours in _pairs()]


def _rename(name: str, rows: list[tuple[re.Pattern[str], str]]) -> str:
    for pattern, target in rows:
        match = pattern.fullmatch(name)
        if match:
            return target.format(**match.groupdict())
    return name  # unknown: `load_parameters` will refuse it under this name


def to_transformers(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename Meta's tensors; a name that SAM 2.1 does not have stays as it is.

    Args:
        state: SAM 2.1's tensors by Meta's names, complete or not.
    """
    names = [name for name in map(_POINTS.format, range(4)) if name in state]
    points = {name: state[name] for name in names if state[name].ndim == 2}
    # Rows that do not fit each other stay separate: `load_parameters` will refuse them by name.
    whole = len(points) == 4 and len({(row.shape, row.dtype) for row in points.values()}) == 1
    taken = {_FOURIER, *(points if whole else ())}
    tensors = {
        _rename(name, _TO_TRANSFORMERS): tensor
        for name, tensor in state.items()
        if name not in taken
    }
    if whole:
        tensors[_POINT_ROWS] = torch.cat(list(points.values()))  # [4, width]
    if _FOURIER in state:
        tensors.update(dict.fromkeys(POSITION_MATRICES, state[_FOURIER]))
    return tensors


def to_meta(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Rename transformers' tensors to Meta's names, the inverse of `to_transformers`.

    Raises:
        ValueError: the two buffers that are one tensor in Meta's file differ.
    """
    tensors = {
        _rename(name, _TO_META): tensor
        for name, tensor in state.items()
        if name != _POINT_ROWS and name not in POSITION_MATRICES
    }
    if _POINT_ROWS in state:
        rows = torch.split(state[_POINT_ROWS], 1)
        tensors.update({_POINTS.format(index): row.clone() for index, row in enumerate(rows)})
    buffers = [state[name] for name in POSITION_MATRICES if name in state]
    if buffers:
        if not (buffers[0].is_meta or all(torch.equal(buffers[0], other) for other in buffers)):
            raise ValueError(f"{' and '.join(POSITION_MATRICES)} must be equal, but they differ")
        tensors[_FOURIER] = buffers[0]
    return tensors
