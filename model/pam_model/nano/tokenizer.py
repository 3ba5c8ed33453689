"""Train nano's tokenizer: a byte-level BPE in Qwen's layout, from the words of the drawn world."""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

from pam_model.nano import texts
from pam_model.tasks import BEFORE_REGION, LANGUAGES, Question, Task, after_region

EMBEDDED = Path(__file__).parent / "checkpoint"
VOCABULARY_SIZE = 1024
SPECIAL_TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")
# How Qwen2.5 splits text before the merges.
_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def train_tokenizer() -> Tokenizer:
    """Learn at most `VOCABULARY_SIZE` ids from the pieces of the texts; any text can be encoded."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_SPLIT), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = BpeTrainer(
        vocab_size=VOCABULARY_SIZE,
        special_tokens=list(SPECIAL_TOKENS),
        # All bytes are in the alphabet, so that any text can be encoded.
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    questions = [
        after_region(Question(task, language).text) for task in Task for language in LANGUAGES
    ]
    tokenizer.train_from_iterator(
        # These are repeated so that they take few tokens: every prompt has them.
        [*texts.fragments(), *questions * 4, *[BEFORE_REGION] * 4],
        trainer,
    )
    return tokenizer


def save_tokenizer(folder: Path) -> None:
    """Train and write `tokenizer.json` and `tokenizer_config.json`."""
    folder.mkdir(parents=True, exist_ok=True)
    train_tokenizer().save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": SPECIAL_TOKENS[0],
        "eos_token": SPECIAL_TOKENS[2],
        "additional_special_tokens": list(SPECIAL_TOKENS[1:]),
        "clean_up_tokenization_spaces": False,
        "model_max_length": 2048,
    }
    (folder / "tokenizer_config.json").write_text(
        json.dumps(settings, indent=2) + "\n", encoding="utf-8"
    )


def load_tokenizer(folder: Path = EMBEDDED) -> PreTrainedTokenizerFast:
    """Load what `save_tokenizer` wrote; by default, the tokenizer of the embedded nano."""
    tokenizer: PreTrainedTokenizerFast = PreTrainedTokenizerFast.from_pretrained(folder)
    return tokenizer
