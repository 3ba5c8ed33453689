"""The answers of the drawn world as tables of tokens, which a GPU joins to texts on its own."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate, product
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from pam_model.language import Tokenizer
from pam_model.nano import texts, words
from pam_model.nano.scene import Random
from pam_model.nano.texts import QUESTIONS, TEMPLATES, Facts
from pam_model.tasks import END, LANGUAGES, Question, Task, after_region

_ODDS = {Task.LABEL: 0.2, Task.DEFINITION: 0.1, Task.BRIEF: 0.34, Task.DETAILED: 0.36}
_LOOKS = (len(words.SIZES), len(words.COLOURS), len(words.TEXTURES), len(words.SHAPES))


class Texts(NamedTuple):
    """The input of the language model after the visual rows, padded on the right.

    Attributes:
        ids: int64 `(N, T)`, token ids.
        supervised: bool `(N, T)`, true for the answer and its end token.
    """

    ids: Tensor
    supervised: Tensor


class AnswerTables:
    """Every question and answer of the drawn world, in tokens on one device.

    All parts of texts are rows of one table. A text is made of five rows: question, opening, place,
    ground and end token. A text without a place or ground takes row 0, which is empty.

    Args:
        tokenizer: the model's tokenizer.
        device: the tables' device.
    """

    def __init__(self, tokenizer: Tokenizer, device: torch.device) -> None:
        parts = [
            [
                [tokenizer.encode(line, add_special_tokens=False) for line in lines]
                for lines in (
                    [after_region(question.text)],
                    _openings(question),
                    _details(question, 1, len(words.PLACES)),
                    _details(question, 2, len(words.GROUNDS)),
                    [END],
                )
            ]
            for question in QUESTIONS
        ]  # the tokens of [question][part][row]
        longest = max(
            sum(max(map(len, rows), default=0) for rows in question) for question in parts
        )
        self.length = -(-longest // 8) * 8
        """The number of tokens of each sampled text: the longest, rounded up to a multiple of 8."""
        counts = [len(rows) for question in parts for rows in question]
        *firsts, _ = accumulate(counts, initial=1)  # of each part, after the empty row
        self._firsts = torch.tensor(firsts, device=device).view(len(QUESTIONS), -1)
        table = [[], *(row for question in parts for rows in question for row in rows)]
        self._lengths = torch.tensor([len(row) for row in table], device=device)  # [rows]
        self._ids = pad_sequence(
            [torch.tensor(row, dtype=torch.long) for row in table], batch_first=True
        ).to(device)  # [rows, longest row]
        tasks = [question.task for question in QUESTIONS]
        self._captions = torch.tensor(
            [task in (Task.BRIEF, Task.DETAILED) for task in tasks], device=device
        )  # [questions]
        self._detailed = torch.tensor([task is Task.DETAILED for task in tasks], device=device)
        self._odds = tuple(_ODDS[task] / len(LANGUAGES) for task in tasks)

    def sample(self, facts: Mapping[str, Tensor], random: Random) -> Texts:
        """Ask one random question about each of N objects, and give the true answer.

        Args:
            facts: int64 `(N,)` for each field of `texts.Facts`.
            random: chooses the questions and wordings.

        Returns:
            Texts of `length` tokens each.
        """
        count = len(facts["shape"])
        question = random.choice(self._odds, count)  # [N]
        template = (random.uniform(count) * TEMPLATES).long()  # [N]
        # The rows of openings are in the order of `_openings`: the shape changes fastest.
        look = (facts["size"] * _LOOKS[1] + facts["colour"]) * _LOOKS[2] + facts["texture"]
        look = (template * _LOOKS[0] * _LOOKS[1] * _LOOKS[2] + look) * _LOOKS[3] + facts["shape"]
        asked, opening, place, ground, end = self._firsts[question].unbind(dim=1)  # each [N]
        detailed = self._detailed[question]
        return self._join(
            (
                asked,
                opening + torch.where(self._captions[question], look, facts["shape"]),
                (place + template * len(words.PLACES) + facts["place"]) * detailed,
                (ground + template * len(words.GROUNDS) + facts["ground"]) * detailed,
                end,
            )
        )

    def _join(self, parts: tuple[Tensor, ...]) -> Texts:
        """Join rows of the table; each part is int64 `(N,)`, and the first is the question."""
        count = len(parts[0])
        # The padding of a row goes to an extra column, which is cut off.
        ids = torch.zeros(count, self.length + 1, dtype=torch.long, device=parts[0].device)
        steps = torch.arange(self._ids.shape[1], device=ids.device)
        end = torch.zeros_like(parts[0])
        for part in parts:
            lengths = self._lengths[part]  # [N]
            places = torch.where(steps < lengths[:, None], end[:, None] + steps, self.length)
            ids.scatter_(1, places.clamp(max=self.length), self._ids[part])
            end = end + lengths
        steps = torch.arange(self.length, device=ids.device)
        written = steps < end[:, None]  # [N, length]
        supervised = (steps >= self._lengths[parts[0]][:, None]) & written
        return Texts(ids[:, :-1] * written, supervised)


def _openings(question: Question) -> list[str]:
    shapes = range(len(words.SHAPES))
    if question.task in (Task.LABEL, Task.DEFINITION):
        return [texts.answer(Facts(shape, 0, 0, 0, 0, 0), question) for shape in shapes]
    return [
        texts.answer_parts(Facts(shape, colour, texture, size, 0, 0), question, template)[0]
        for template, size, colour, texture, shape in product(
            range(TEMPLATES), *(range(count) for count in _LOOKS)
        )
    ]


def _details(question: Question, part: int, count: int) -> list[str]:
    """The clauses of the place (part 1) or the ground (part 2); only detailed captions have any."""
    if question.task is not Task.DETAILED:
        return []
    return [
        texts.answer_parts(
            Facts(0, 0, 0, 0, value % len(words.PLACES), value % len(words.GROUNDS)),
            question,
            template,
        )[part]
        for template in range(TEMPLATES)
        for value in range(count)
    ]
