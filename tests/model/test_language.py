"""The language model: one reading shared by questions and labels, and repeatable answers."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest
import torch

from pam_model import PAM, GenerationOptions, InputError
from pam_model.everything import run
from pam_model.tasks import LabelScore, after_region

if TYPE_CHECKING:
    from pam_model.key_values import RegionContexts
    from pam_model.language import LanguageModel

QUESTIONS = ["what?", "a much longer question than the other", "描述"]
LABELS = ["cat", "a", "a long label of many tokens", "star", "starfish", "星形"]


@pytest.fixture(scope="module")
def language(pam: PAM) -> LanguageModel:
    return pam.network.language


@pytest.fixture(scope="module")
def regions(language: LanguageModel) -> RegionContexts:
    rows = torch.randn(3, 20, 48, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        return language.prefill(rows)


@torch.inference_mode()
def answer(
    language: LanguageModel,
    regions: RegionContexts,
    questions: list[str],
    options: GenerationOptions,
) -> list[list[str]]:
    return run(language.answer_in_steps(regions, [questions] * len(regions), options))


def score(language: LanguageModel, *args: Any, **options: Any) -> torch.Tensor:
    return run(language.score_in_steps(*args, **options))


def _alone(language: LanguageModel, region: RegionContexts, question: str, tokens: int) -> str:
    """The greedy answer without any cache: the whole text is read again for every token."""
    rows = torch.randn(3, 20, 48, generator=torch.Generator().manual_seed(1))
    index = next(
        i
        for i in range(3)
        if torch.equal(language.prefill(rows[i : i + 1]).layers[0][0], region.layers[0][0])
    )
    ids = language.ids(after_region(question)).tolist()
    start = len(ids)
    for _ in range(tokens):
        tail = language.qwen2.model.embed_tokens(torch.tensor([ids]))
        whole = torch.cat([language.prefix_rows(rows[index : index + 1]), tail], dim=1)
        token = int(language.qwen2(inputs_embeds=whole).logits[0, -1].argmax())
        if token == language.end_id:
            break
        ids.append(token)
    return language.text(ids[start:])


@torch.inference_mode()
def test_a_batch_answers_like_each_question_alone(
    language: LanguageModel, regions: RegionContexts
) -> None:
    together = answer(language, regions, QUESTIONS, GenerationOptions(max_new_tokens=6))
    for index, answers in enumerate(together):
        one = regions.select([index])
        assert answers == [_alone(language, one, question, 6) for question in QUESTIONS]
    assert len({answer for answers in together for answer in answers}) > 1


@torch.inference_mode()
def test_rows_that_end_early_do_not_change_the_others(
    language: LanguageModel, regions: RegionContexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = GenerationOptions(max_new_tokens=8)
    before = [a for answers in answer(language, regions, QUESTIONS, options) for a in answers]
    # Call a token the end that some answers have and others do not: their rows leave the batch.
    end = next(c for c in "".join(before) if 0 < sum(c in answer for answer in before) < 9)
    monkeypatch.setattr(language, "end_id", ord(end) - 0x100)
    after = [a for answers in answer(language, regions, QUESTIONS, options) for a in answers]
    assert after == [answer.split(end)[0] for answer in before]


@pytest.mark.parametrize("kind", ["log_likelihood", "fit"])
@torch.inference_mode()
def test_labels_are_scored_as_one_by_one(
    language: LanguageModel, regions: RegionContexts, kind: LabelScore
) -> None:
    together = score(language, regions, "label?", LABELS, score=kind).numpy()
    rows = torch.randn(3, 20, 48, generator=torch.Generator().manual_seed(1))
    for region in range(3):
        for label in LABELS:
            ids = language.ids(after_region("label?")).tolist()
            answer = [*language.ids(label).tolist(), language.end_id]
            tail = language.qwen2.model.embed_tokens(torch.tensor([ids + answer]))
            whole = torch.cat([language.prefix_rows(rows[region : region + 1]), tail], dim=1)
            logits = language.qwen2(inputs_embeds=whole).logits[0]
            at = len(whole[0]) - len(answer) - 1
            if kind == "fit":
                logits -= logits.amax(-1, keepdim=True)
            else:
                logits = logits.log_softmax(-1) / len(answer)
            total = sum(float(logits[at + k, token]) for k, token in enumerate(answer))
            assert together[region, LABELS.index(label)] == pytest.approx(total, abs=3e-5)


@torch.inference_mode()
def test_hundreds_of_labels_take_several_passes_and_change_nothing(
    language: LanguageModel, regions: RegionContexts
) -> None:
    many = [f"label number {index}" for index in range(150)]
    scores = score(language, regions, "label?", many)
    few = score(language, regions, "label?", many[100:103])
    torch.testing.assert_close(scores[:, 100:103], few, atol=2e-5, rtol=0)


@torch.inference_mode()
def test_the_cache_of_a_region_is_left_as_it_was(
    language: LanguageModel, regions: RegionContexts
) -> None:
    before = [keys.clone() for keys, _ in regions.layers]
    answer(language, regions, QUESTIONS[:1], GenerationOptions(max_new_tokens=3))
    score(language, regions, "label?", LABELS)
    for (keys, _), copy in zip(regions.layers, before, strict=True):
        assert torch.equal(keys, copy)


def test_an_answer_that_was_cut_is_told_once(
    language: LanguageModel,
    regions: RegionContexts,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(language, "_told_of_cuts", False)
    monkeypatch.setattr(language, "text", lambda ids: str(ids[0]) if ids else "")
    options = GenerationOptions(max_new_tokens=3)
    one = regions.select([0])
    first = int(answer(language, one, QUESTIONS[:1], options)[0][0])
    answer(language, one, QUESTIONS[:1], options)
    (told,) = caplog.messages
    assert told.startswith("An answer was cut after 3 tokens, the limit (max_new_tokens).")
    caplog.clear()
    monkeypatch.setattr(language, "_told_of_cuts", False)
    monkeypatch.setattr(language, "end_id", first)
    assert answer(language, one, QUESTIONS[:1], options) == [[""]]
    assert not caplog.messages


def test_an_empty_label_is_refused(language: LanguageModel, regions: RegionContexts) -> None:
    with pytest.raises(ValueError, match="the label '' is empty"):
        score(language, regions, "label?", ["cat", ""])


def test_a_label_that_is_a_text_is_refused(
    language: LanguageModel, regions: RegionContexts
) -> None:
    with pytest.raises(ValueError, match="is 500 tokens long; shorten it to 128 at most"):
        score(language, regions, "label?", ["cat", "x" * 500])


def test_a_passed_deadline_ends_the_work(language: LanguageModel, regions: RegionContexts) -> None:
    late = time.monotonic() - 1
    with pytest.raises(TimeoutError, match="the deadline passed"):
        answer(language, regions, QUESTIONS, GenerationOptions(deadline=late))
    with pytest.raises(TimeoutError, match="the deadline passed"):
        score(language, regions, "label?", LABELS, deadline=late)


@torch.inference_mode()
def test_sampling_repeats_with_its_seed_whatever_else_is_in_the_batch(
    language: LanguageModel, regions: RegionContexts
) -> None:
    options = GenerationOptions(max_new_tokens=10, temperature=3.0, top_p=0.95, seed=7)
    together = answer(language, regions, QUESTIONS, options)
    alone = answer(language, regions.select([2]), QUESTIONS[1:2], options)
    assert together[2][1] == alone[0][0]
    other = GenerationOptions(max_new_tokens=10, temperature=3.0, top_p=0.95, seed=8)
    assert answer(language, regions, QUESTIONS, other) != together


@torch.inference_mode()
def test_a_tiny_top_p_is_greedy(language: LanguageModel, regions: RegionContexts) -> None:
    greedy = answer(language, regions, QUESTIONS, GenerationOptions(max_new_tokens=6))
    options = GenerationOptions(max_new_tokens=6, temperature=1.0, top_p=1e-6)
    assert answer(language, regions, QUESTIONS, options) == greedy


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_new_tokens", 0),
        ("max_new_tokens", 2.5),
        ("temperature", -1.0),
        ("temperature", 1e-45),
        ("temperature", float("nan")),
        ("top_p", 0.0),
        ("seed", 2**70),
        ("max_new_tokens", "5"),
        ("max_new_tokens", None),
        ("temperature", "hot"),
        ("top_p", None),
        ("seed", float("nan")),
        ("seed", float("inf")),
    ],
)
def test_options_out_of_range_are_refused(field: str, value: float) -> None:
    with pytest.raises(InputError, match=f"^{field} must be "):
        GenerationOptions(**{field: value})  # type: ignore[arg-type] # a table of fields


def test_a_model_that_does_not_give_numbers_says_so(
    language: LanguageModel, regions: RegionContexts, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = (1, 320)
    monkeypatch.setattr(
        "pam_model.language.forward_tokens", lambda *_: torch.full(rows, float("nan"))
    )
    with pytest.raises(ArithmeticError, match="not numbers"):
        answer(language, regions.select([0]), QUESTIONS[:1], GenerationOptions())


def test_no_regions_and_no_questions_have_no_answers(
    language: LanguageModel, regions: RegionContexts
) -> None:
    none = regions.select([])
    assert answer(language, none, QUESTIONS, GenerationOptions()) == []
    assert answer(language, regions, [], GenerationOptions()) == [[], [], []]
