"""Read PAM's checkpoints in the published layouts and in our own, and write our own.

A published checkpoint is a folder (perhaps inside another of the same name) with `config.json`, a
tokenizer and safetensors; SAM 2.1 is separate. Our own layout keeps everything in one folder: the
tensors of SAM 2.1 are in the same file as `model.vision_tower.sam2_model_predictor.*`, and
`config.json` has the sections `sam2` and `perceiver`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast, Qwen2Tokenizer

from pam_model.checkpoints.config_json import check_depths, pam_config, sam2_from_dict
from pam_model.checkpoints.files import find_folder, read_json
from pam_model.checkpoints.parameters import load_parameters, parameters_on_meta
from pam_model.checkpoints.sam2_names import to_meta, to_transformers
from pam_model.checkpoints.tensor_files import read_sam2, read_tensors
from pam_model.config import PAMConfig
from pam_model.errors import CheckpointError
from pam_model.network import PRECISE_SAM2, PAMNetwork
from pam_model.tasks import END

__all__ = ["Checkpoint", "CheckpointError", "load_checkpoint", "load_network", "save_checkpoint"]

_TOWER = "model.vision_tower.sam2_model_predictor."
_HEAD = "lm_head.weight"
_EMBEDDING = "model.embed_tokens.weight"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The content of a checkpoint's files. Tensors are mapped from the files, not copied.

    Attributes:
        name: the folder's name.
        config: the sizes of the model.
        pam_tensors: PAM's tensors by published name, without `lm_head.weight` if the head is tied.
        sam2_tensors: SAM 2.1's tensors by the names of transformers' `Sam2VideoModel`.
        tokenizer: the language model's tokenizer.
    """

    name: str
    config: PAMConfig
    pam_tensors: Mapping[str, Tensor]
    sam2_tensors: Mapping[str, Tensor]
    tokenizer: PreTrainedTokenizerBase


def load_checkpoint(folder: str | Path, sam2_path: str | Path | None = None) -> Checkpoint:
    """Read a checkpoint in a published layout or in our own.

    SAM 2.1 is looked for in this order: `sam2_path`; inside the weights, if `config.json` has a
    section `sam2`; a `sam2.1*.pt` or a folder `sam2.1*` in or beside `folder`; inside the weights.

    Args:
        folder: the checkpoint's folder, or its parent.
        sam2_path: Meta's `.pt` file or a Hugging Face folder of SAM 2.1.

    Raises:
        CheckpointError: something is missing, damaged or does not fit.
    """
    folder = find_folder(Path(folder))
    raw = read_json(folder / "config.json")
    tensors = read_tensors(folder)
    tower = {
        name.removeprefix(_TOWER): tensors.pop(name)
        for name in tuple(tensors)
        if name.startswith(_TOWER)
    }
    tied = _tie_head(tensors, raw)
    source = None if sam2_path is None else Path(sam2_path)
    if source is None and not (tower and "sam2" in raw):
        source = _sam2_beside(folder)
    sam2_config = None
    if source is not None:
        sam2_tensors = read_sam2(source)
        if source.is_dir():
            settings = source / "config.json"
            sam2_config = sam2_from_dict(read_json(settings), str(settings))
    elif tower:
        sam2_tensors = to_transformers(tower)
    else:
        raise CheckpointError(
            f"{folder}: SAM 2.1 is neither in this folder nor beside it; put sam2.1_hiera_large.pt "
            "(from facebook/sam2.1-hiera-large) there, or name it with sam2=PATH"
        )
    config = pam_config(raw, tensors, sam2_config, tied=tied)
    check_depths(config, tensors, sam2_tensors)
    tokenizer = load_tokenizer(folder, config.language.vocab_size)
    return Checkpoint(folder.name, config, tensors, sam2_tensors, tokenizer)


def load_network(
    checkpoint: Checkpoint,
    *,
    dtype: torch.dtype | None = None,
    device: torch.device | str = "cpu",
    attn_implementation: str = "sdpa",
) -> PAMNetwork:
    """Build the modules around a checkpoint's tensors, without a second copy of them.

    Args:
        checkpoint: the result of `load_checkpoint`.
        dtype: the parameters' dtype, except for those that place a prompt; None keeps the files'.
        device: where the parameters go.
        attn_implementation: the language model's attention: "sdpa", "eager" or "flash_attention_2".

    Raises:
        CheckpointError: tensors are missing, unexpected or of another shape; all are named.
    """
    with parameters_on_meta():
        try:
            network = PAMNetwork(
                checkpoint.config,
                checkpoint.tokenizer,  # type: ignore[arg-type] # transformers widens encode's types
                attn_implementation=attn_implementation,
            )
        # Sizes that contradict each other make the modules raise all kinds of errors.
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{checkpoint.name}: no model can have the sizes in its config.json ({error})"
            ) from error
    load_parameters(
        network.published_parts,
        checkpoint.pam_tensors,
        source=checkpoint.name,
        dtype=dtype,
        device=device,
    )
    load_parameters(
        network.segmenter.sam2,
        checkpoint.sam2_tensors,
        source=f"SAM 2.1 of {checkpoint.name}",
        dtype=dtype,
        device=device,
        float32=PRECISE_SAM2,
    )
    return network.to(device)


def save_checkpoint(
    folder: str | Path,
    config: PAMConfig,
    pam_state: Mapping[str, Tensor],
    sam2_state: Mapping[str, Tensor],
    tokenizer: PreTrainedTokenizerBase,
    dtype: torch.dtype,
) -> None:
    """Write a checkpoint in our own layout: one folder that `load_checkpoint` reads alone.

    Args:
        folder: created if needed; files of the same names are replaced.
        config: the sizes of the model.
        pam_state: PAM's tensors by published name; a tied head is left out.
        sam2_state: SAM 2.1's tensors by the names of transformers' `Sam2VideoModel`.
        tokenizer: the language model's tokenizer.
        dtype: the weights' dtype; the matrices of the position codes stay in float32.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tied = config.language.tie_word_embeddings
    state = {
        **{name: tensor for name, tensor in pam_state.items() if not (tied and name == _HEAD)},
        **{_TOWER + name: tensor for name, tensor in to_meta(sam2_state).items()},
    }
    stored = {
        name: tensor.detach()
        .to("cpu", torch.float32 if name.endswith("gaussian_matrix") else dtype)
        .clone()  # safetensors refuses tensors that share memory
        .contiguous()
        for name, tensor in state.items()
    }
    # Rename the finished file, so that no reader ever sees half of one.
    partial = folder / "model.safetensors.partial"
    save_file(stored, partial, metadata={"format": "pt"})
    partial.replace(folder / "model.safetensors")
    (folder / "config.json").write_text(
        json.dumps(config.to_dict(), indent=2, sort_keys=True) + "\n", encoding="utf-8"
    )
    tokenizer.save_pretrained(folder)


def load_tokenizer(folder: Path, vocabulary: int) -> PreTrainedTokenizerBase:
    """Read `tokenizer.json`, or `vocab.json` and `merges.txt`; no code of the checkpoint runs.

    Args:
        folder: the checkpoint's folder.
        vocabulary: the number of rows of the embedding.

    Raises:
        CheckpointError: the tokenizer is missing, damaged, or has ids that the embedding lacks.
    """
    kind = PreTrainedTokenizerFast if (folder / "tokenizer.json").is_file() else Qwen2Tokenizer
    if kind is Qwen2Tokenizer and not (folder / "vocab.json").is_file():
        raise CheckpointError(f"{folder}: no tokenizer.json, and no vocab.json with merges.txt")
    try:
        tokenizer: PreTrainedTokenizerBase = kind.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False
        )
        length, end = len(tokenizer), tokenizer.encode(END, add_special_tokens=False)
    # The tokenizers library raises plain Exception on a damaged file.
    except Exception as error:
        raise CheckpointError(f"{folder}: the tokenizer cannot be read ({error})") from error
    if len(end) != 1:
        raise CheckpointError(f"{folder}: the tokenizer does not know {END} as one token")
    if length > vocabulary:
        raise CheckpointError(
            f"{folder}: the tokenizer has {length} tokens, but the embedding only {vocabulary} rows"
        )
    return tokenizer


def _sam2_beside(folder: Path) -> Path | None:
    for place in (folder, folder.parent):
        found = sorted(
            path
            for path in place.glob("sam2.1*")
            if re.fullmatch(r"sam2\.1_.*\.pt", path.name) or (path / "config.json").is_file()
        )
        if len(found) > 1:
            names = ", ".join(path.name for path in found)
            raise CheckpointError(
                f"{place}: has several SAM 2.1 ({names}); name one with sam2=PATH"
            )
        if found:
            return found[0]
    return None


def _tie_head(tensors: dict[str, Tensor], raw: Mapping[str, Any]) -> bool:
    """Whether the embedding is also the head; a head that only copies it is dropped.

    Only the rows that both have are compared.

    Raises:
        CheckpointError: the config says that the head is tied, but the two differ.
    """
    tied = bool(raw.get("tie_word_embeddings", _HEAD not in tensors))
    if _HEAD not in tensors or _EMBEDDING not in tensors:
        return tied
    head, embedding = tensors[_HEAD], tensors[_EMBEDDING]
    rows = min(len(head), len(embedding)) if head.ndim == embedding.ndim == 2 else 0
    if rows and torch.equal(head[:rows].to(embedding.dtype), embedding[:rows]):
        del tensors[_HEAD]
        return True
    if tied:
        raise CheckpointError(
            f"config.json says tie_word_embeddings, but {_HEAD} differs from {_EMBEDDING}"
        )
    return False
