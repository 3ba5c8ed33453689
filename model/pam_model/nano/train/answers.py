"""The answers of the drawn world as tables of tokens: a GPU puts the texts together itself."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from pam_model.nano import texts, words
from pam_model.nano.texts import TEMPLATES, Facts
from pam_model.tasks import END, LANGUAGES, Question, Task, after_region

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pam_model.language import Tokenizer
    from pam_model.nano.scene import Random

QUESTIONS = tuple(Question(task, language) for language in LANGUAGES for task in Task)
_ODDS = {Task.LABEL: 0.2, Task.DEFINITION: 0.1, Task.BRIEF: 0.34, Task.DETAILED: 0.36}
_LOOKS = (len(words.SIZES), len(words.COLOURS), len(words.TEXTURES), len(words.SHAPES))


class FactTensors(NamedTuple):
    """As `texts.Facts`, of N objects: each int64 `(N,)`."""

    shape: Tensor
    colour: Tensor
    texture: Tensor
    size: Tensor
    place: Tensor
    ground: Tensor


class Texts(NamedTuple):
    """What the language model reads after the visual rows, padded on the right.

    Attributes:
        ids: int64 `(N, T)`.
        supervised: bool `(N, T)`: the answer and its end token.
    """

    ids: Tensor
    supervised: Tensor


class _Rows:
    """Token rows of different lengths, collected and then padded to one table."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.rows: list[list[int]] = [[]]  # row 0 is empty: a part that a text does not have

    def add(self, lines: Sequence[str]) -> int:
        """Append one row a line; return the index of the first."""
        first = len(self.rows)
        self.rows += [self.tokenizer.encode(line, add_special_tokens=False) for line in lines]
        return first

    def table(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return ids `(rows, longest)` and lengths `(rows,)`."""
        longest = max(map(len, self.rows))
        ids = torch.tensor([row + [0] * (longest - len(row)) for row in self.rows])
        lengths = torch.tensor([len(row) for row in self.rows])
        return ids.to(device), lengths.to(device)


class AnswerTables:
    """Every question and answer of the drawn world, in tokens on one device.

    Args:
        tokenizer: of the model.
        device: where the tables live.
    """

    def __init__(self, tokenizer: Tokenizer, device: torch.device) -> None:
        rows = _Rows(tokenizer)
        self._questions = rows.add([after_region(question.text) for question in QUESTIONS])
        self._end = rows.add([END])
        openings, places, grounds = [], [], []
        for question in QUESTIONS:
            openings.append(rows.add(_openings(question)))
            places.append(rows.add(_details(question, 1, len(words.PLACES))))
            grounds.append(rows.add(_details(question, 2, len(words.GROUNDS))))
        self._ids, self._lengths = rows.table(device)
        self._openings, self._places, self._grounds = (
            torch.tensor(firsts, device=device) for firsts in (openings, places, grounds)
        )
        tasks = [question.task for question in QUESTIONS]
        self._captions = torch.tensor(
            [task in (Task.BRIEF, Task.DETAILED) for task in tasks], device=device
        )
        self._detailed = torch.tensor([task is Task.DETAILED for task in tasks], device=device)
        self._odds = tuple(_ODDS[task] / len(LANGUAGES) for task in tasks)
        self.length = self._longest_text()

    def sample(self, facts: FactTensors, random: Random) -> Texts:
        """Ask one random question about each of N objects, and answer it truly.

        Returns:
            Texts of `length` tokens each.
        """
        count = len(facts.shape)
        question = random.choice(self._odds, count)
        template = (random.uniform(count) * TEMPLATES).long()
        look = (facts.size * _LOOKS[1] + facts.colour) * _LOOKS[2] + facts.texture
        look = (template * _LOOKS[0] * _LOOKS[1] * _LOOKS[2] + look) * _LOOKS[3] + facts.shape
        caption, detailed = self._captions[question], self._detailed[question]
        opening = self._openings[question] + torch.where(caption, look, facts.shape)
        place = self._places[question] + template * len(words.PLACES) + facts.place
        ground = self._grounds[question] + template * len(words.GROUNDS) + facts.ground
        parts = (
            self._questions + question,
            opening,
            place * detailed,
            ground * detailed,
            torch.full_like(question, self._end),
        )
        return self._join(parts)

    def _join(self, parts: tuple[Tensor, ...]) -> Texts:
        """Put rows of the table one after the other; the first is the question."""
        count = len(parts[0])
        # One column more than is kept: where the padding of a row is thrown.
        ids = torch.zeros(count, self.length + 1, dtype=torch.long, device=parts[0].device)
        steps = torch.arange(self._ids.shape[1], device=ids.device)
        end = torch.zeros_like(parts[0])
        for part in parts:
            lengths = self._lengths[part]
            places = torch.where(steps < lengths[:, None], end[:, None] + steps, self.length).clamp(
                max=self.length
            )
            ids.scatter_(1, places, self._ids[part])
            end = end + lengths
        steps = torch.arange(self.length, device=ids.device)
        start = self._lengths[parts[0]]
        supervised = (steps >= start[:, None]) & (steps < end[:, None])
        return Texts(ids[:, :-1] * (steps < end[:, None]), supervised)

    def _longest_text(self) -> int:
        """Tokens of the longest question, answer and end token, rounded up to a multiple of 8."""
        starts = [*self._openings.tolist(), len(self._lengths)]
        longest = 0
        for index in range(len(QUESTIONS)):
            place, ground = int(self._places[index]), int(self._grounds[index])
            total = int(self._lengths[self._questions + index]) + 1
            total += int(self._lengths[starts[index] : place].max())
            if bool(self._detailed[index]):
                total += int(self._lengths[place:ground].max())
                total += int(self._lengths[ground : starts[index + 1]].max())
            longest = max(longest, total)
        return -(-longest // 8) * 8


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
    """The place's (part 1) or the ground's (part 2) clause; none where there are no details."""
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
