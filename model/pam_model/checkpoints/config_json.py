"""Read the sizes of the model from `config.json`, and check them against the tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from torch import Tensor
from transformers import PreTrainedConfig, Qwen2Config
from transformers.models.sam2.configuration_sam2 import Sam2HieraDetConfig, Sam2VisionConfig
from transformers.models.sam2_video.configuration_sam2_video import Sam2VideoConfig

from pam_model.config import PAMConfig, PerceiverConfig, sam2_config
from pam_model.errors import CheckpointError

_MODEL_TYPE = "llava_qwen"
_PROJECTOR = "mlp2x_gelu"
_EMBEDDING = "model.embed_tokens.weight"
_BLOCKS = "vision_encoder.backbone.blocks."
_LARGEST = 1 << 20  # no size of a language model comes near this
_ROPE_THETA = 1_000_000.0  # the authors' default, which their config.json may leave out
# Keys that every config of transformers has; they say nothing about SAM 2.1's sizes.
_GENERAL = PreTrainedConfig().to_dict().keys() - {"model_type"}
_LARGEST_KERNEL = 64  # no kernel, stride or padding of SAM 2.1 is larger
_OPTIONAL = ("hidden_act", "max_position_embeddings", "rms_norm_eps")


def pam_config(
    raw: Mapping[str, Any],
    pam_tensors: Mapping[str, Tensor],
    sam2: Sam2VideoConfig | None = None,
    *,
    tied: bool = True,
) -> PAMConfig:
    """Read a `config.json` with the published keys, and perhaps the sections of our own layout.

    Args:
        raw: the content of the file.
        pam_tensors: PAM's tensors by published name; the embedding's rows are the vocabulary.
        sam2: the sizes of SAM 2.1 if the file has no section `sam2`; hiera-large if None.
        tied: whether the embedding is also the language model's head.

    Raises:
        CheckpointError: the file does not describe a PAM, or its sizes are not the tensors'.
    """
    if raw.get("model_type") != _MODEL_TYPE:
        raise CheckpointError(
            f"config.json: model_type must be {_MODEL_TYPE!r}, not {raw.get('model_type')!r}"
        )
    if raw.get("mm_projector_type", _PROJECTOR) != _PROJECTOR:
        raise CheckpointError(
            f"config.json: mm_projector_type must be {_PROJECTOR!r}, "
            f"not {raw['mm_projector_type']!r}"
        )
    if "sam2" in raw:
        sam2 = sam2_from_dict(raw["sam2"], "config.json: sam2")
    return PAMConfig(
        sam2=sam2 or sam2_config(),
        language=_language(raw, pam_tensors, tied=tied),
        perceiver=_perceiver(raw.get("perceiver", {})),
    )


def sam2_from_dict(raw: object, where: str) -> Sam2VideoConfig:
    """Read the sizes of SAM 2.1 as transformers writes them; ignore keys that could choose code.

    Raises:
        CheckpointError: `raw` is not a SAM 2.1 with a Hiera trunk; the message begins with `where`.
    """
    if not isinstance(raw, dict):
        raise CheckpointError(f"{where} must be an object, not {type(raw).__name__}")
    try:
        sizes = _harmless(raw)
        config = Sam2VideoConfig.from_dict(sizes)
        vision = config.vision_config
        known = isinstance(vision, Sam2VisionConfig) and isinstance(
            vision.backbone_config, Sam2HieraDetConfig
        )
    # transformers raises all kinds of errors for values that it does not expect.
    except Exception as error:
        raise CheckpointError(f"{where} does not describe SAM 2.1 ({error})") from error
    if not known:
        raise CheckpointError(f"{where} describes a trunk that is not Hiera")
    _check_kernels(sizes, where)
    config.multimask_output_in_sam = False  # PAM reads one mask, of token 0
    return config


def check_depths(
    config: PAMConfig, pam_tensors: Mapping[str, Tensor], sam2_tensors: Mapping[str, Tensor]
) -> None:
    """Refuse a config whose numbers of layers are not those of the tensors.

    Without this check, a config of a million layers would be built for ever.

    Raises:
        CheckpointError: a number of layers differs.
    """
    trunk = config.sam2.to_dict()["vision_config"]["backbone_config"]
    memory = config.sam2.memory_attention_num_layers
    for what, told, prefix, tensors in (
        ("num_hidden_layers", config.language.num_hidden_layers, "model.layers.", pam_tensors),
        ("perceiver.depth", config.perceiver.depth, "model.vision_resampler.layers.", pam_tensors),
        ("blocks_per_stage", sum(trunk["blocks_per_stage"]), _BLOCKS, sam2_tensors),
        ("memory_attention_num_layers", memory, "memory_attention.layers.", sam2_tensors),
    ):
        inside = (name[len(prefix) :] for name in tensors if name.startswith(prefix))
        found = len({rest.partition(".")[0] for rest in inside})
        if told != found:
            raise CheckpointError(
                f"config.json: {what} makes {told} layers, but the weights have {found}"
            )


def _language(raw: Mapping[str, Any], tensors: Mapping[str, Tensor], *, tied: bool) -> Qwen2Config:
    if _EMBEDDING not in tensors or tensors[_EMBEDDING].ndim != 2:
        raise CheckpointError(f"the weights have no {_EMBEDDING}, or it is not a table")
    hidden = _size(raw, "hidden_size")
    heads = _size(raw, "num_attention_heads")
    groups = _size(raw, "num_key_value_heads")
    if hidden % heads or heads % groups:
        raise CheckpointError(
            f"config.json: hidden_size {hidden}, num_attention_heads {heads} and "
            f"num_key_value_heads {groups} must divide one another"
        )
    config = {
        "hidden_size": hidden,
        "num_attention_heads": heads,
        "num_key_value_heads": groups,
        "intermediate_size": _size(raw, "intermediate_size"),
        "num_hidden_layers": _size(raw, "num_hidden_layers"),
        "vocab_size": len(tensors[_EMBEDDING]),
        "tie_word_embeddings": tied,
        "rope_parameters": {"rope_type": "default", "rope_theta": _rope_theta(raw)},
        **{key: raw[key] for key in _OPTIONAL if key in raw},
    }
    _check_widths(config, tensors)
    try:
        return Qwen2Config(**config)
    # As for SAM 2.1, a value of the wrong kind may raise anything.
    except Exception as error:
        raise CheckpointError(f"config.json does not describe Qwen2 ({error})") from error


def _size(raw: Mapping[str, Any], key: str) -> int:
    value = raw.get(key)
    if type(value) is not int or not 1 <= value <= _LARGEST:
        raise CheckpointError(f"config.json: {key} must be from 1 to {_LARGEST}, not {value!r}")
    return value


def _rope_theta(raw: Mapping[str, Any]) -> float:
    nested = raw.get("rope_parameters") or raw.get("rope_scaling") or {}
    if not isinstance(nested, dict) or nested.get("rope_type", "default") != "default":
        raise CheckpointError(f"config.json: unknown kind of rotary positions: {nested!r}")
    theta = raw.get("rope_theta", nested.get("rope_theta", _ROPE_THETA))
    if isinstance(theta, bool) or not isinstance(theta, (int, float)) or not 1 <= theta < 1e12:
        raise CheckpointError(f"config.json: rope_theta must be a number from 1 up, not {theta!r}")
    return float(theta)


def _check_widths(config: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> None:
    hidden = config["hidden_size"]
    groups = hidden // config["num_attention_heads"] * config["num_key_value_heads"]
    for name, shape in (
        (_EMBEDDING, (config["vocab_size"], hidden)),
        ("model.layers.0.self_attn.k_proj.weight", (groups, hidden)),
        ("model.layers.0.mlp.gate_proj.weight", (config["intermediate_size"], hidden)),
    ):
        if name not in tensors:
            raise CheckpointError(f"the weights have no {name}")
        if tuple(tensors[name].shape) != shape:
            raise CheckpointError(
                f"config.json makes {name} {shape}, but its shape is {tuple(tensors[name].shape)}"
            )


def _perceiver(raw: object) -> PerceiverConfig:
    if not isinstance(raw, dict):
        raise CheckpointError(f"config.json: perceiver must be an object, not {type(raw).__name__}")
    names = {field.name for field in fields(PerceiverConfig)}
    unknown = sorted(set(raw) - names)
    if unknown:
        raise CheckpointError(f"config.json: perceiver has unknown keys: {', '.join(unknown)}")
    return PerceiverConfig(**{name: _size(raw, name) for name in raw})


def _harmless(value: Any) -> Any:
    """Drop keys that choose code (attention kernels by hub id, pretrained parts) or no size."""
    if isinstance(value, dict):
        return {
            key: _harmless(inner)
            for key, inner in value.items()
            if isinstance(key, str)
            and not key.startswith("_")
            and key not in _GENERAL
            and not re.search("attn_implementation|auto_map|quantization|pretrained|timm", key)
        }
    if isinstance(value, list):
        return [_harmless(inner) for inner in value]
    return value


def _check_kernels(section: Mapping[str, Any], where: str) -> None:
    """Refuse strides, kernels and paddings that cannot work or would need absurd memory."""
    for key, value in section.items():
        if isinstance(value, dict):
            _check_kernels(value, f"{where}.{key}")
        elif key.endswith(("_stride", "_kernel_size", "_padding")):
            least = 0 if key.endswith("_padding") else 1
            for number in value if isinstance(value, (list, tuple)) else [value]:
                if type(number) is not int or not least <= number <= _LARGEST_KERNEL:
                    raise CheckpointError(
                        f"{where}.{key} must be from {least} to {_LARGEST_KERNEL}, not {value!r}"
                    )
