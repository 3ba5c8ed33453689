"""Write and check the captions of the objects of the drawn world."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from pam_model.nano import words
from pam_model.tasks import LANGUAGES, Language, Question, Task

QUESTIONS = tuple(Question(task, language) for language in LANGUAGES for task in Task)
TEMPLATES = 3
"""The number of wordings of each caption."""


class Facts(NamedTuple):
    """The facts about one object: indices into the tuples of `words`."""

    shape: int
    colour: int
    texture: int
    size: int
    place: int
    ground: int


FIELDS: dict[str, Sequence[words.Word]] = {
    "shape": words.SHAPES,
    "colour": words.COLOURS,
    "texture": words.TEXTURES,
    "size": words.SIZES,
    "place": words.PLACES,
    "ground": words.GROUNDS,
}
_ASKED: dict[Task, tuple[str, ...]] = {
    Task.LABEL: ("shape",),
    Task.DEFINITION: ("shape",),
    Task.BRIEF: ("shape", "colour", "texture", "size"),
    Task.DETAILED: ("shape", "colour", "texture", "size", "place", "ground"),
}

_BRIEF: dict[Language, tuple[str, ...]] = {
    "en": (
        "a {size} {colour} {texture} {shape}",
        "A {size} {texture} {shape}, {colour} all over.",
        "the {colour} {shape}, {size} and {texture}",
    ),
    "zh": (
        "一个{size}的{colour}{texture}{shape}",
        "{colour}的{texture}{shape}，{size}",
        "这是一个{size}{shape}，{colour}，{texture}。",
    ),
}
# Each text has three parts that end at punctuation, so that their tokens can be joined.
_DETAILED: dict[Language, tuple[tuple[str, str, str], ...]] = {
    "en": (
        (
            "This is a {size} {colour} {texture} {shape}.",
            " It lies {place} of the picture.",
            " The background is {ground}.",
        ),
        (
            "A {size} {shape}, {colour} and {texture},",
            " stands {place} of the picture,",
            " before a {ground} background.",
        ),
        (
            "The subject is a {texture} {colour} {shape} of {size} size,",
            " found {place} of the picture;",
            " what surrounds it is {ground}.",
        ),
    ),
    "zh": (
        ("这是一个{size}的{colour}{texture}{shape}，", "位于画面的{place}，", "背景是{ground}的。"),
        ("一个{colour}、{texture}的{size}{shape}，", "处在画面{place}，", "后面是{ground}背景。"),
        (
            "图中有一个{size}{shape}，颜色为{colour}，质地为{texture}，",
            "它在画面的{place}；",
            "周围的背景{ground}。",
        ),
    ),
}


def label(shape: int, language: Language) -> str:
    """Return the shape's name."""
    return words.SHAPES[shape].name(language)


def definition(shape: int, language: Language) -> str:
    """Return the shape's name and what it is, as "Name: definition."."""
    name, meaning = label(shape, language), words.DEFINITIONS[shape].name(language)
    return f"{name.capitalize()}: {meaning}." if language == "en" else f"{name}：{meaning}。"


def answer(facts: Facts, question: Question, template: int = 0) -> str:
    """Return the true answer to a question about an object.

    Args:
        facts: the object's facts.
        question: task and language.
        template: the wording, from 0 to `TEMPLATES` - 1; labels and definitions have only one.
    """
    return "".join(answer_parts(facts, question, template))


def answer_parts(facts: Facts, question: Question, template: int) -> tuple[str, ...]:
    """Return the answer in its parts: three of a detailed caption, one of any other."""
    language = question.language
    if question.task is Task.LABEL:
        return (label(facts.shape, language),)
    if question.task is Task.DEFINITION:
        return (definition(facts.shape, language),)
    names = {
        field: choices[getattr(facts, field)].name(language) for field, choices in FIELDS.items()
    }
    if question.task is Task.BRIEF:
        return (_BRIEF[language][template].format(**names),)
    return tuple(part.format(**names) for part in _DETAILED[language][template])


def fragments() -> list[str]:
    """Return every piece of text that answers are made of, for the tokenizer to learn."""
    names = [
        name
        for choices in (*FIELDS.values(), words.OTHER_NOUNS)
        for word in choices
        for name in word
    ]
    spaced = [f" {name}" for name in names if name.isascii()]
    definitions = [
        definition(shape, language) for shape in range(len(words.SHAPES)) for language in LANGUAGES
    ]
    patterns = [
        *(pattern for patterns in _BRIEF.values() for pattern in patterns),
        *(part for patterns in _DETAILED.values() for parts in patterns for part in parts),
    ]
    between = [piece for pattern in patterns for piece in re.split(r"\{\w+\}", pattern) if piece]
    return names * 3 + spaced * 3 + definitions + between * 2


def stated(text: str, language: Language) -> dict[str, set[int]]:
    """Read the facts that a text states: for each field, the indices of the words in the text."""
    return {
        field: {
            index
            for index, word in enumerate(choices)
            if _mentions(text, word.name(language), language)
        }
        for field, choices in FIELDS.items()
    }


def accepted(field: str, facts: Facts, places: Sequence[int]) -> set[int]:
    """The statements allowed about a field: the fact; for the place, its neighbours too."""
    return {getattr(facts, field), *(places if field == "place" else ())}


def is_right(text: str, question: Question, facts: Facts, places: Sequence[int] = ()) -> bool:
    """Whether a text states all that `question` asks for, and nothing false.

    Args:
        text: the answer.
        question: the question that was asked.
        facts: the true facts.
        places: other places to accept, for an object near the border of two.
    """
    if question.task is Task.DEFINITION:
        return text.strip() == definition(facts.shape, question.language)
    for field, values in stated(text, question.language).items():
        missing = field in _ASKED[question.task] and not values
        if missing or not values <= accepted(field, facts, places) or len(values) > 1:
            return False
    if question.task is Task.LABEL:
        return text.strip().lower() == label(facts.shape, question.language)
    return True


def _mentions(text: str, name: str, language: Language) -> bool:
    if language == "zh":
        return name in text
    return re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE) is not None
