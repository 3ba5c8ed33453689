"""What is said about regions: the steps of a request that need the language model."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from pam_labeling.jobs import Step
from pam_labeling.request import Request
from pam_labeling.vocabulary import Choice, Vocabulary
from pam_labeling.work import Classify, Describe
from pam_model import PAM, Language, Question, RegionContexts, Task, split_definition

T = TypeVar("T")

Steps = Generator[Step[Any], Any, T]


@dataclass(frozen=True)
class Words:
    """What is said about one region, before it becomes a `Region`; see its attributes."""

    label: str | None = None
    label_score: float | None = None
    open_label: str | None = None
    texts: Mapping[tuple[Task, Language], str] = field(default_factory=dict)
    choices: Mapping[str, Choice] = field(default_factory=dict)
    embedding: npt.NDArray[np.float32] | None = None

    def with_choice(self, name: str | None, choice: Choice, open_label: str | None) -> Words:
        if name is None:
            return replace(
                self, label=choice.label, label_score=choice.score, open_label=open_label
            )
        return replace(self, choices={**self.choices, name: choice})


def no_words(request: Request) -> Words:
    """What is said about a given mask in which the model sees no object: nothing."""
    return Words(
        label_score=None if request.vocabulary is None else 0.0,
        choices={name: vocabulary.nothing for name, vocabulary in request.choices.items()},
    )


def words_in_steps(model: PAM, request: Request, contexts: RegionContexts) -> Steps[list[Words]]:
    """The words about each region: the answers to the questions, and the labels of the lists."""
    questions = request.questions
    answers: list[list[str]] = [[]] * len(contexts)
    if questions:
        answers = yield Describe(model, contexts, questions, request.generation)
    words = [_read_answers(questions, texts) for texts in answers]
    # The vocabulary, which chooses the label itself, is the list without a name.
    lists: list[tuple[str | None, Vocabulary]] = [*request.choices.items()]
    if request.vocabulary is not None:
        lists.append((None, request.vocabulary))
    for language in dict.fromkeys(vocabulary.asked_in for _, vocabulary in lists):
        alike = [entry for entry in lists if entry[1].asked_in == language]
        words = yield from _choose(model, request, contexts, language, alike, words)
    return words


def _choose(
    model: PAM,
    request: Request,
    contexts: RegionContexts,
    language: Language,
    lists: Sequence[tuple[str | None, Vocabulary]],
    words: Sequence[Words],
) -> Steps[list[Words]]:
    """Add what is chosen from lists of one language."""
    # Spellings that the lists share are scored once.
    column: dict[str, int] = {}
    for _, vocabulary in lists:
        for form in vocabulary.spoken:
            column.setdefault(form, len(column))
    # [regions, spellings]
    found = yield Classify(model, contexts, tuple(column), language)
    fits = [found[:, [column[form] for form in vocabulary.spoken]] for _, vocabulary in lists]
    unsure = np.any(
        [vocabulary.unsure(own) for (_, vocabulary), own in zip(lists, fits, strict=True)],
        axis=0,
    )
    answers = yield from _own_labels(
        model, request, contexts, language, words, np.flatnonzero(unsure).tolist()
    )
    # A model that begins its words with a capital knows the list in this spelling only.
    capital = [row for row, answer in enumerate(answers) if unsure[row] and _capital(answer)]
    if capital:
        again = tuple(form.capitalize() for form in column)
        found[capital] = yield Classify(model, contexts.select(capital), again, language)
    for (name, vocabulary), own in zip(lists, fits, strict=True):
        either = np.maximum(own, found[:, [column[form] for form in vocabulary.spoken]])
        choices = vocabulary.choose(np.where(vocabulary.unsure(own)[:, None], either, own), answers)
        words = [
            said.with_choice(name, choice, _other_words(vocabulary, choice.label, answer))
            for said, choice, answer in zip(words, choices, answers, strict=True)
        ]
    return list(words)


def _own_labels(
    model: PAM,
    request: Request,
    contexts: RegionContexts,
    language: Language,
    words: Sequence[Words],
    rows: Sequence[int],
) -> Steps[list[str | None]]:
    """What the model itself calls the regions `rows`; None for others, unless it was asked."""
    question = Question(Task.LABEL, language)
    # Never a sample: a label of the list must not depend on a seed.
    options = replace(request.generation, temperature=0.0)
    if question in request.questions and options == request.generation:
        return [said.texts[question] for said in words]
    answers: list[str | None] = [None] * len(contexts)
    if rows:
        asked = contexts if len(rows) == len(contexts) else contexts.select(rows)
        found = yield Describe(model, asked, (question,), options)
        for row, (answer,) in zip(rows, found, strict=True):
            answers[row] = answer.strip()
    return answers


def _capital(answer: str | None) -> bool:
    return answer is not None and answer[:1].isupper()


def _other_words(vocabulary: Vocabulary, label: str | None, answer: str | None) -> str | None:
    """The model's own label, where it is known and is not the chosen one in other spelling."""
    return None if not answer or vocabulary.says(label, answer) else answer


def _read_answers(questions: Sequence[Question], answers: Sequence[str]) -> Words:
    texts: dict[tuple[Task, Language], str] = {}
    labels: list[str] = []
    implied: list[str] = []  # labels in the answers about definitions
    for (task, language), answer in zip(questions, answers, strict=True):
        text = answer.strip()
        if task is Task.DEFINITION:
            label, text = split_definition(text)
            implied.append(label)
        elif task is Task.LABEL:
            labels.append(text)
        texts[task, language] = text
    # The answer about the label takes precedence over the label in a definition.
    return Words(label=next((label for label in labels + implied if label), None), texts=texts)
