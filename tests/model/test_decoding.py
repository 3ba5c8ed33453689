"""Fixed shapes say what growing ones say. Only the recording as a CUDA graph needs a GPU."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import pytest
import torch

from pam_model import PAM, GenerationOptions
from pam_model.decoding import CudaGraphDecoder, CudaGraphDecoders, DynamicDecoder, forward_tokens
from pam_model.everything import run

if TYPE_CHECKING:
    from transformers import DynamicCache

    from pam_model.language import LanguageModel

QUESTIONS = ["what?", "a much longer question than the other", "描述"]


@pytest.fixture(scope="module")
def language(pam: PAM) -> LanguageModel:
    return pam.network.language


def _read_prompts(language: LanguageModel, seed: int = 1) -> tuple[DynamicCache, torch.Tensor]:
    """The cache and the mask of three rows that begin at different positions."""
    rows = torch.randn(3, 20, 48, generator=torch.Generator().manual_seed(seed))
    cache = language.prefill(rows).cache()
    ids = torch.arange(3 * 5).reshape(3, 5) + 7
    mask = torch.ones(3, cache.get_seq_length() + 5, dtype=torch.long)
    mask[0, -5:-2] = 0
    mask[1, -5:-4] = 0
    forward_tokens(language.qwen2, ids, mask, cache)
    return cache, mask


@torch.inference_mode()
def _assert_same_steps(
    language: LanguageModel, fixed: CudaGraphDecoder, cache: DynamicCache, mask: torch.Tensor
) -> None:
    fixed.load(cache, mask)
    growing = DynamicDecoder(language.qwen2, copy.deepcopy(cache), mask)
    tokens = torch.tensor([3, 11, 19])
    for _ in range(3):
        expected = growing.step(tokens)
        torch.testing.assert_close(fixed.step(tokens), expected, atol=1e-5, rtol=1e-5)
        tokens = expected.argmax(dim=1)
    for kept in ([0, 2], [1]):  # of three rows, then of the two that are left
        rows = torch.tensor(kept)
        growing.keep(rows)
        fixed.keep(rows)
        tokens = tokens[rows]
        expected = growing.step(tokens)
        torch.testing.assert_close(fixed.step(tokens), expected, atol=1e-5, rtol=1e-5)
        tokens = expected.argmax(dim=1)


@torch.inference_mode()
def test_fixed_shapes_give_the_logits_of_growing_ones(language: LanguageModel) -> None:
    cache, mask = _read_prompts(language)
    _assert_same_steps(language, CudaGraphDecoder(language.qwen2, 4, 128), cache, mask)


@torch.inference_mode()
def test_nothing_of_an_answer_before_is_left(language: LanguageModel) -> None:
    fixed = CudaGraphDecoder(language.qwen2, 4, 128)
    fixed._cached.fill_(float("nan"))  # as after an answer that overflowed
    for seed in (1, 2):
        cache, mask = _read_prompts(language, seed)
        _assert_same_steps(language, fixed, cache, mask)


@torch.inference_mode()
def test_answers_are_the_same(language: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = torch.randn(3, 20, 48, generator=torch.Generator().manual_seed(4))
    regions = language.prefill(rows)
    options = GenerationOptions(max_new_tokens=9)
    asked = [QUESTIONS] * 3
    expected = run(language.answer_in_steps(regions, asked, options))
    loads = []
    load = CudaGraphDecoder.load

    def loaded(self: CudaGraphDecoder, cache: DynamicCache, mask: torch.Tensor) -> None:
        loads.append(len(mask))
        load(self, cache, mask)

    monkeypatch.setattr(CudaGraphDecoders, "supports", lambda *_: True)
    monkeypatch.setattr(CudaGraphDecoder, "load", loaded)
    assert run(language.answer_in_steps(regions, asked, options)) == expected
    assert loads == [9]


def test_an_answer_may_be_interrupted_by_another_of_its_shape(
    language: LanguageModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = torch.randn(2, 20, 48, generator=torch.Generator().manual_seed(5))
    with torch.inference_mode():
        parts = [language.prefill(row[None]) for row in rows]
    options = GenerationOptions(max_new_tokens=20)
    expected = [run(language.answer_in_steps(part, [QUESTIONS[:1]], options)) for part in parts]
    monkeypatch.setattr(CudaGraphDecoders, "supports", lambda *_: True)
    with torch.inference_mode():
        first = language.answer_in_steps(parts[0], [QUESTIONS[:1]], options)
        next(first)
        second = run(language.answer_in_steps(parts[1], [QUESTIONS[:1]], options))
        assert [run(first), second] == expected


def test_shapes_are_rounded_up_and_few_are_kept(language: LanguageModel) -> None:
    decoders = CudaGraphDecoders(language.qwen2)

    def get(rows: int, positions: int) -> CudaGraphDecoder:
        with decoders.lease(rows, positions) as decoder:
            return decoder

    with torch.inference_mode():
        one = get(3, 200)
        assert one._cached.shape[2] == 4
        assert one._cached.shape[4] == 256
        assert get(4, 256) is one
        others = [get(rows, 257) for rows in (1, 2, 4)]
        assert get(3, 200) is one
        assert get(8, 1) is not one
        assert get(1, 257) is not others[0]  # the oldest made room
        assert get(3, 200) is one
        with decoders.lease(3, 200) as mine, decoders.lease(3, 200) as yours:
            assert mine is not yours
