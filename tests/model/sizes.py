"""The sizes of all small PAMs of the tests, in one table.

`smallest` is for checkpoints that are written and read; `tiny` is wide enough that random weights
give different answers; `golden` has the sizes with which the authors' code computed the cases of
`tests/parity`; `tracking` is `tiny` with a memory, which transformers builds with 64 channels only.
"""

from __future__ import annotations

from typing import Any

from transformers import Qwen2Config

from pam_model.config import PAMConfig, PerceiverConfig, sam2_config

_SMALL: dict[str, Any] = {
    "image_size": 128,  # an embedding of 8 x 8 cells
    "widths": (8, 16, 32, 64),
    "heads": (1, 2, 4, 8),
    "blocks": (1, 1, 2, 1),
    "global_blocks": (3,),
    "width": 32,
    "decoder_heads": 2,
    "memory_width": 16,
    "memory_layers": 1,
}
_SAM2: dict[str, dict[str, Any]] = {
    "smallest": {
        **_SMALL,
        "windows": (4, 4, 4, 4),
        "decoder_mlp": 48,
        "memory_mlp": 48,
        "memory_fuser_mlp": 48,
    },
    "tiny": {
        **_SMALL,
        "windows": (8, 4, 8, 4),
        "decoder_mlp": 64,
        "memory_mlp": 64,
        "memory_fuser_mlp": 64,
    },
    "tracking": {
        **_SMALL,
        "windows": (8, 4, 8, 4),
        "width": 64,
        "decoder_mlp": 64,
        "memory_width": 64,
        "memory_mlp": 64,
        "memory_fuser_mlp": 64,
    },
    "golden": {
        "widths": (16, 32, 64, 128),
        "heads": (2, 4, 8, 16),
        "blocks": (1, 2, 3, 1),
        "windows": (8, 4, 14, 8),
        "global_blocks": (5,),
        "memory_layers": 2,
    },
}
_ROPE_THETA = {"smallest": 1e6, "tiny": 1e4, "tracking": 1e4, "golden": 1e6}
_LANGUAGE: dict[str, dict[str, Any]] = {
    "smallest": {"hidden_size": 32, "intermediate_size": 48},
    "tiny": {"hidden_size": 48, "intermediate_size": 64},
    "tracking": {"hidden_size": 32, "intermediate_size": 48},
    "golden": {"hidden_size": 64, "intermediate_size": 128},
}
_PERCEIVER = {
    "smallest": PerceiverConfig(depth=1, num_heads=2, mlp_dim=48, num_semantic_tokens=3),
    "tiny": PerceiverConfig(num_heads=4, mlp_dim=64),
    "tracking": PerceiverConfig(depth=1, num_heads=2, mlp_dim=48, num_semantic_tokens=3),
    "golden": PerceiverConfig(),
}


def small_config(name: str, vocabulary: int, *, tied: bool = True) -> PAMConfig:
    """The sizes called `name`, with a vocabulary and a tied or separate head."""
    return PAMConfig(
        sam2=sam2_config(**_SAM2[name]),
        language=Qwen2Config(
            vocab_size=vocabulary,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            tie_word_embeddings=tied,
            rope_parameters={"rope_type": "default", "rope_theta": _ROPE_THETA[name]},
            **_LANGUAGE[name],
        ),
        perceiver=_PERCEIVER[name],
    )
