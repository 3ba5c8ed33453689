"""A PAM of the smallest sizes with random weights, to be written in any layout."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from safetensors.torch import save_file
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from pam_model.checkpoints.sam2_names import to_meta
from pam_model.network import PAMNetwork
from tests.model.sizes import small_config

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from pam_model.config import PAMConfig

TOWER = "model.vision_tower.sam2_model_predictor."
VOCABULARY = 288


def tokenizer() -> PreTrainedTokenizerFast:
    """Every byte, and the three words of the chat."""
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    byte_level = Tokenizer(models.BPE({letter: index for index, letter in enumerate(letters)}, []))
    byte_level.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    byte_level.decoder = decoders.ByteLevel()
    words = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
    byte_level.add_special_tokens([AddedToken(word, special=True) for word in words])
    return PreTrainedTokenizerFast(tokenizer_object=byte_level, eos_token="<|im_end|>")


def config(*, tied: bool = True) -> PAMConfig:
    return small_config("smallest", VOCABULARY, tied=tied)


@cache
def network(*, tied: bool = True) -> PAMNetwork:
    torch.manual_seed(0)
    built = PAMNetwork(config(tied=tied), tokenizer()).eval()  # type: ignore[arg-type] # wide types
    # Every tensor differs from what a module would be made with.
    for tensor in built.state_dict().values():
        tensor.copy_(torch.randn(tensor.shape))
    fourier = built.segmenter.sam2.shared_image_embedding.positional_embedding
    built.segmenter.sam2.prompt_encoder.shared_embedding.positional_embedding.copy_(fourier)
    return built


def pam_state(built: PAMNetwork) -> dict[str, Tensor]:
    """The tensors of the PAM checkpoint under its names, without a tied head."""
    state = {
        prefix + name: tensor
        for prefix, module in built.published_parts
        for name, tensor in module.state_dict().items()
    }
    if built.config.language.tie_word_embeddings:
        del state["lm_head.weight"]
    return state


def sam2_state(built: PAMNetwork) -> dict[str, Tensor]:
    return dict(built.segmenter.sam2.state_dict())


def published_settings(built: PAMNetwork, *sections: str) -> dict[str, Any]:
    """The keys of a published `config.json`, and those of our sections that are named."""
    language = built.config.language
    keys = (
        *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
        *("num_key_value_heads", "tie_word_embeddings", "vocab_size", "rms_norm_eps", "hidden_act"),
    )
    ours = built.config.to_dict()
    return {
        "architectures": ["LlavaQwenForCausalLM"],
        "model_type": "llava_qwen",
        "mm_projector_type": "mlp2x_gelu",
        "rope_theta": 1000000.0,
        "use_sliding_window": False,
        **{key: getattr(language, key) for key in keys},
        **{section: ours[section] for section in sections},
    }


def write(
    folder: Path,
    tensors: Mapping[str, Tensor],
    settings: Mapping[str, Any],
    *,
    shards: int = 1,
) -> Path:
    """A folder as published: settings, tokenizer, weights in one file or in shards."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(settings))
    tokenizer().save_pretrained(folder)
    kept = {name: tensor.contiguous().clone() for name, tensor in tensors.items()}
    if shards == 1:
        save_file(kept, folder / "model.safetensors", metadata={"format": "pt"})
        return folder
    places = {}
    for number in range(shards):
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        names = list(kept)[number::shards]
        save_file({name: kept[name] for name in names}, folder / file, metadata={"format": "pt"})
        places.update(dict.fromkeys(names, file))
    index = {"metadata": {"total_size": 0}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def with_tower(built: PAMNetwork) -> dict[str, Tensor]:
    """PAM's tensors with SAM 2.1 inside."""
    tower = {TOWER + name: tensor for name, tensor in to_meta(sam2_state(built)).items()}
    return {**pam_state(built), **tower}


def write_pt(path: Path, built: PAMNetwork) -> Path:
    """SAM 2.1 as Meta publishes it."""
    torch.save({"model": to_meta(sam2_state(built))}, path)
    return path


def write_sam2_folder(folder: Path, built: PAMNetwork, *, add: float = 0.0) -> Path:
    """SAM 2.1 as transformers publishes it, with `add` added to every tensor."""
    folder.mkdir(parents=True)
    state = {name: tensor.clone() + add for name, tensor in sam2_state(built).items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "config.json").write_text(json.dumps(built.config.sam2.to_dict()))
    return folder
