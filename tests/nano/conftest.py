"""nano's tokenizer and answer tables, made once, and a network that trains in milliseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from pam_model.nano.tokenizer import load_tokenizer, save_tokenizer
from pam_model.nano.train.answers import AnswerTables

if TYPE_CHECKING:
    from pathlib import Path

    from transformers import PreTrainedTokenizerFast


@pytest.fixture(scope="session")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A freshly trained tokenizer on disk."""
    folder = tmp_path_factory.mktemp("tokenizer")
    save_tokenizer(folder)
    return folder


@pytest.fixture(scope="session")
def tokenizer(tokenizer_folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer, as transformers loads it."""
    return load_tokenizer(tokenizer_folder)


@pytest.fixture(scope="session")
def tables(tokenizer):
    """Every answer in tokens, on the CPU."""
    return AnswerTables(tokenizer, torch.device("cpu"))
