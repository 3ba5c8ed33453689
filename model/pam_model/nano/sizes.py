"""The sizes of nano."""

from __future__ import annotations

from transformers import Qwen2Config

from pam_model.config import PAMConfig, PerceiverConfig, sam2_config
from pam_model.nano.tokenizer import SPECIAL_TOKENS, VOCABULARY_SIZE


def nano_config() -> PAMConfig:
    """The sizes of nano, which takes less than 16 MB in float16, with SAM 2.1's memory parts."""
    return PAMConfig(
        sam2=sam2_config(
            image_size=512,
            widths=(32, 64, 128, 256),
            heads=(1, 2, 4, 8),
            blocks=(2, 3, 9, 1),
            windows=(8, 4, 16, 8),
            global_blocks=(9, 13),
            width=128,
            decoder_heads=4,
            decoder_mlp=512,
            memory_width=64,
            memory_layers=1,
            memory_mlp=512,
            memory_fuser_mlp=256,
        ),
        language=Qwen2Config(
            vocab_size=VOCABULARY_SIZE,
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=4,
            num_attention_heads=6,
            num_key_value_heads=2,
            max_position_embeddings=2048,
            rms_norm_eps=1e-6,
            tie_word_embeddings=True,
            bos_token_id=None,
            eos_token_id=SPECIAL_TOKENS.index("<|im_end|>"),
            pad_token_id=SPECIAL_TOKENS.index("<|endoftext|>"),
        ),
        perceiver=PerceiverConfig(depth=2, num_heads=4, mlp_dim=512, num_semantic_tokens=16),
    )
