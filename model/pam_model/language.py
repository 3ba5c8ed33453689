"""Qwen2.5: a region's visual rows + a question -> words, for many regions and questions at once.

A region is read once (`prefill`); every question and every label of a list shares its key/value
cache. Nothing here knows about images.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, DynamicCache, Qwen2ForCausalLM
from transformers.generation.logits_process import (
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopPLogitsWarper,
)

from pam_model.config import PAMConfig
from pam_model.decoding import CudaGraphDecoders, Decoder, DynamicDecoder, forward_tokens
from pam_model.errors import InputError
from pam_model.key_values import RegionContexts
from pam_model.options import GenerationOptions
from pam_model.tasks import BEFORE_REGION, END, LabelScore, after_region

_log = logging.getLogger(__name__)

_ROWS_PER_HEAD = 256  # positions whose vocabulary logits are held at once
_TOKENS_PER_PASS = 512  # tokens of labels scored in one pass
_TOKENS_PER_LABEL = 128
_TOKENS_PER_STEP = 8  # of each answer; after so many, other work may go first
# What a token's logit is compared with, `(..., vocabulary)` -> `(...)`: all tokens, or the best.
_REFERENCE: dict[LabelScore, Callable[[Tensor], Tensor]] = {
    "log_likelihood": lambda logits: logits.logsumexp(dim=-1),
    "fit": lambda logits: logits.amax(dim=-1),
}


class Tokenizer(Protocol):
    """The methods that a tokenizer needs; those of transformers have them."""

    def encode(self, text: str, *, add_special_tokens: bool = ...) -> list[int]:
        """Return the ids of `text`."""

    def decode(self, token_ids: list[int], *, skip_special_tokens: bool = ...) -> str:
        """Return the text of `token_ids`."""

    def convert_tokens_to_ids(self, tokens: str) -> int:
        """Return the id of one token."""


class LanguageModel(nn.Module):
    """Qwen2.5 that reads visual rows.

    Args:
        config: the sizes of the model.
        tokenizer: the checkpoint's tokenizer.
        attn_implementation: "sdpa", "eager" or "flash_attention_2".
    """

    def __init__(
        self, config: PAMConfig, tokenizer: Tokenizer, *, attn_implementation: str = "sdpa"
    ) -> None:
        super().__init__()
        self.qwen2: Qwen2ForCausalLM = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            config.language, attn_implementation=attn_implementation
        )
        self.tokenizer = tokenizer
        self.end_id = tokenizer.convert_tokens_to_ids(END)
        self._graph_decoders = CudaGraphDecoders(self.qwen2)
        self._told_of_cuts = False

    def ids(self, text: str) -> Tensor:
        """The ids of `text`: int64 `(length,)`, on the model's device."""
        ids = self.tokenizer.encode(text, add_special_tokens=False)
        return torch.tensor(ids, dtype=torch.long, device=self.qwen2.device)

    def text(self, ids: Sequence[int]) -> str:
        """The text of generated ids."""
        return self.tokenizer.decode(list(ids), skip_special_tokens=True).strip()

    def prefix_rows(self, visual_rows: Tensor) -> Tensor:
        """Put the text before a region's rows: `(N, rows, hidden)` -> `(N, length, hidden)`."""
        start = self.qwen2.model.embed_tokens(self.ids(BEFORE_REGION))
        return torch.cat(
            [start.expand(len(visual_rows), -1, -1), visual_rows.to(start.dtype)], dim=1
        )

    def prefill(self, visual_rows: Tensor) -> RegionContexts:
        """Read N regions once: visual rows `(N, rows, hidden)` -> their key/value cache."""
        cache = DynamicCache(config=self.qwen2.config)
        self.qwen2.model(
            inputs_embeds=self.prefix_rows(visual_rows), past_key_values=cache, use_cache=True
        )
        return RegionContexts.of(cache)

    def answer_in_steps(
        self,
        regions: RegionContexts,
        questions: Sequence[Sequence[str]],
        options: GenerationOptions,
    ) -> Generator[None, None, list[list[str]]]:
        """Answer questions about regions, all in one batch; yield after every few tokens.

        Args:
            regions: N regions, from `prefill`.
            questions: the texts of the questions about each region, as in `Question.text`.
            options: how to generate.

        Returns:
            The answers, `[region][question]`.

        Raises:
            TimeoutError: the deadline passed.
        """
        # Each row is one question about one region, all questions of a region side by side.
        regions_asked = [region for region, asked in enumerate(questions) for _ in asked]
        suffixes = [self.ids(after_region(text)) for asked in questions for text in asked]
        answers: list[list[int]] = [[] for _ in suffixes]
        if suffixes:
            # With one question about each region, the regions are the rows as they are.
            alone = regions_asked == list(range(len(regions)))
            cache = (regions if alone else regions.select(regions_asked)).cache()
            for step, tokens in enumerate(self._generate(cache, suffixes, options), start=1):
                for row, token in tokens:
                    answers[row].append(token)
                if step % _TOKENS_PER_STEP == 0:
                    yield
        texts = iter([self.text(ids) for ids in answers])
        return [[next(texts) for _ in asked] for asked in questions]

    def _generate(
        self, cache: DynamicCache, suffixes: Sequence[Tensor], options: GenerationOptions
    ) -> Iterator[list[tuple[int, int]]]:
        """Yield the next token, (row, id), of each row that goes on, until all have ended."""
        ids = pad_sequence(list(suffixes), batch_first=True, padding_side="left")  # [R, asked]
        real = pad_sequence(
            [torch.ones_like(s) for s in suffixes], batch_first=True, padding_side="left"
        )  # [R, asked], 0 at padding
        mask = torch.cat([real.new_ones(len(real), cache.get_seq_length()), real], dim=1)
        logits = forward_tokens(self.qwen2, ids, mask, cache)  # [R, vocabulary]
        sample = _Sampler(options)
        active = list(range(len(suffixes)))
        with self._decoder(cache, mask, options.max_new_tokens) as decoder:
            for count in range(1, options.max_new_tokens + 1):
                _check_deadline(options.deadline)
                tokens = sample(logits)  # [R]
                values = tokens.tolist()
                going = [index for index, token in enumerate(values) if token != self.end_id]
                yield [(active[index], values[index]) for index in going]
                if not going:
                    return
                if count == options.max_new_tokens:
                    self._tell_of_cuts(count)
                    return
                if len(going) < len(active):
                    keep = torch.tensor(going, device=tokens.device)
                    decoder.keep(keep)
                    tokens = tokens[keep]
                    active = [active[index] for index in going]
                logits = decoder.step(tokens)  # [R, vocabulary]

    def _tell_of_cuts(self, tokens: int) -> None:
        """Say once that an answer did not come to its end."""
        if not self._told_of_cuts:
            self._told_of_cuts = True
            _log.warning(
                "An answer was cut after %d tokens, the limit (max_new_tokens). A higher limit "
                "allows whole answers. This is said once.",
                tokens,
            )

    @contextmanager
    def _decoder(self, cache: DynamicCache, mask: Tensor, new: int) -> Iterator[Decoder]:
        """A decoder for up to `new` more tokens a row; no other answer uses it meanwhile."""
        if not self._graph_decoders.supports(mask):
            yield DynamicDecoder(self.qwen2, cache, mask)
            return
        with self._graph_decoders.lease(len(mask), mask.shape[1] + new) as decoder:
            decoder.load(cache, mask)
            yield decoder

    def score_in_steps(
        self,
        regions: RegionContexts,
        question: str,
        candidates: Sequence[str],
        *,
        score: LabelScore = "log_likelihood",
        deadline: float | None = None,
    ) -> Generator[None, None, Tensor]:
        """Score each of L candidates as the answer about each of N regions.

        It yields after each pass. The candidates of a pass lie side by side in one row, and do not
        see each other, so that the region's cache is read once for all of them.

        Args:
            regions: N regions, from `prefill`.
            question: what the model is asked.
            candidates: the answers to compare.
            score: what is computed, see `LabelScore`.
            deadline: `time.monotonic()` at which to give up, or None.

        Returns:
            float32 `(N, L)`.

        Raises:
            InputError: a candidate has no tokens, or too many.
            TimeoutError: the deadline passed.
        """
        answers = [self.ids(candidate) for candidate in candidates]
        for candidate, ids in zip(candidates, answers, strict=True):
            if not len(ids):
                raise InputError(f"the label {candidate!r} is empty")
            if len(ids) > _TOKENS_PER_LABEL:
                raise InputError(
                    f"the label {candidate[:40]!r}... is {len(ids)} tokens long; shorten it to "
                    f"{_TOKENS_PER_LABEL} at most"
                )
        cache, first = self._ask(regions, question)
        shared = RegionContexts.of(cache)
        logits = self.qwen2.lm_head(first).float()  # [N, vocabulary]
        start = logits - _REFERENCE[score](logits)[:, None]
        scores = []
        for part in _passes(answers, _TOKENS_PER_PASS):
            _check_deadline(deadline)
            scores.append(self._score_pass(shared, start, part, score))
            yield
        return torch.cat(scores, dim=1)

    def states(self, regions: RegionContexts, question: str) -> Tensor:
        """The states from which the answers to a question would begin: `(N, hidden)`."""
        return self._ask(regions, question)[1]

    def _ask(self, regions: RegionContexts, question: str) -> tuple[DynamicCache, Tensor]:
        """Read a question about each region; return the cache, and the last states."""
        cache = regions.cache()
        asked = self.ids(after_region(question)).expand(len(regions), -1)
        read = self.qwen2.model(input_ids=asked, past_key_values=cache, use_cache=True)
        return cache, read.last_hidden_state[:, -1]

    def _score_pass(
        self, shared: RegionContexts, start: Tensor, answers: list[Tensor], score: LabelScore
    ) -> Tensor:
        lengths = torch.tensor([len(ids) for ids in answers], device=start.device)
        tokens = torch.cat(answers)  # [K]
        owner = torch.arange(len(answers), device=start.device).repeat_interleave(lengths)
        order = torch.arange(len(tokens), device=start.device)
        ends = lengths.cumsum(0) - 1
        visible = (owner[:, None] == owner[None, :]) & (order[:, None] >= order[None, :])
        visible = F.pad(visible, (shared.tokens, 0), value=True)  # [K, cached + K]
        blocked = torch.zeros(visible.shape, dtype=self.qwen2.dtype, device=start.device)
        blocked.masked_fill_(~visible, torch.finfo(blocked.dtype).min)
        positions = shared.tokens + order - (ends - lengths + 1)[owner]
        with self._dense_attention():
            hidden = self.qwen2.model(
                input_ids=tokens.expand(len(shared), -1),
                attention_mask=blocked.expand(len(shared), 1, -1, -1),
                position_ids=positions.expand(len(shared), -1),
                past_key_values=shared.cache(),
                use_cache=True,
            ).last_hidden_state
        following = torch.roll(tokens, -1)
        following[ends] = self.end_id
        total = start[:, tokens[ends - lengths + 1]]  # [N, L]
        total = total.index_add(1, owner, self._token_scores(hidden, following, score))
        return total if score == "fit" else total / (lengths + 1)

    def _token_scores(self, hidden: Tensor, following: Tensor, score: LabelScore) -> Tensor:
        """`(N, K, hidden)` and the K tokens that follow -> float32 `(N, K)`."""
        parts = []
        per_part = max(1, _ROWS_PER_HEAD // len(hidden))  # the logits of many positions are large
        for start in range(0, len(following), per_part):
            targets = following[start : start + per_part]
            logits = self.qwen2.lm_head(hidden[:, start : start + per_part]).float()
            chosen = logits.gather(2, targets.expand(len(hidden), -1)[..., None]).squeeze(2)
            parts.append(chosen - _REFERENCE[score](logits))
        return torch.cat(parts, dim=1)

    @contextmanager
    def _dense_attention(self) -> Iterator[None]:
        """Use an attention that takes a mask of its own; flash-attention does not."""
        implementation = self.qwen2.config._attn_implementation
        if implementation in ("sdpa", "eager"):
            yield
            return
        self.qwen2.set_attn_implementation("sdpa")
        try:
            yield
        finally:
            self.qwen2.set_attn_implementation(implementation)


class _Sampler:
    """Chooses the next token of each row from its logits."""

    def __init__(self, options: GenerationOptions) -> None:
        self._options = options
        self._generator = torch.Generator().manual_seed(options.seed)
        self._warpers = LogitsProcessorList()
        if options.temperature > 0:
            self._warpers.append(TemperatureLogitsWarper(options.temperature))
            self._warpers.append(TopPLogitsWarper(options.top_p))

    def __call__(self, logits: Tensor) -> Tensor:
        """Logits, float32 `(rows, vocabulary)` -> token ids, int64 `(rows,)`.

        Raises:
            ArithmeticError: a logit is not a number: the checkpoint is damaged, or overflows.
        """
        if bool(logits.isnan().any()):
            raise ArithmeticError(
                "the language model's scores are not numbers: the checkpoint is damaged, or its "
                "values do not fit the dtype (try float32)"
            )
        if self._options.temperature == 0:
            return logits.argmax(dim=-1)
        # All rows share one random number a step: an answer does not depend on the other rows.
        draw = torch.rand(1, generator=self._generator).to(logits.device)
        no_ids = logits.new_empty(len(logits), 0)  # the warpers take the ids so far and ignore them
        warped = self._warpers(cast("torch.LongTensor", no_ids), cast("torch.FloatTensor", logits))
        cumulative = warped.softmax(dim=-1).cumsum(dim=-1)
        # 1 - draw is above 0, so the likelihood of the chosen token is above 0.
        threshold = (1 - draw) * cumulative[:, -1:]
        return torch.searchsorted(cumulative, threshold).squeeze(1)


def _passes(answers: Sequence[Tensor], tokens: int) -> Iterator[list[Tensor]]:
    """Cut a list of answers into parts of at most `tokens` ids, or of one longer answer."""
    part: list[Tensor] = []
    for ids in answers:
        if part and sum(map(len, part)) + len(ids) > tokens:
            yield part
            part = []
        part.append(ids)
    if part:
        yield part


def _check_deadline(deadline: float | None) -> None:
    if deadline is not None and time.monotonic() > deadline:
        raise TimeoutError("the deadline passed while the language model was answering")
