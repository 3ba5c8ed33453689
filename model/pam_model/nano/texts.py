"""What is said about an object of the drawn world, and how what somebody says is checked."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from pam_model.nano import words
from pam_model.tasks import Language, Question, Task

if TYPE_CHECKING:
    from collections.abc import Sequence

TEMPLATES = 3
"""Wordings of each caption."""


class Facts(NamedTuple):
    """What is true of one object: indices into the tuples of `words`."""

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
# In three parts, each of which ends at a mark, so that their tokens can be put together.
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
    return _name(words.SHAPES[shape], language)


def definition(shape: int, language: Language) -> str:
    """Return the shape's name and what it is, as "Name: definition."."""
    name, meaning = label(shape, language), _name(words.DEFINITIONS[shape], language)
    return f"{name.capitalize()}: {meaning}." if language == "en" else f"{name}：{meaning}。"


def answer(facts: Facts, question: Question, template: int = 0) -> str:
    """Return what is true of an object, as an answer to `question`.

    Args:
        facts: of the object.
        question: task and language.
        template: which of the `TEMPLATES` wordings; labels and definitions have but one.
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
        field: _name(choices[getattr(facts, field)], language) for field, choices in FIELDS.items()
    }
    if question.task is Task.BRIEF:
        return (_BRIEF[language][template].format(**names),)
    return tuple(part.format(**names) for part in _DETAILED[language][template])


def fragments() -> list[str]:
    """Return every piece that answers are put together from, for the tokenizer to learn."""
    names = [
        _name(word, language)
        for choices in (*FIELDS.values(), words.OTHER_NOUNS)
        for word in choices
        for language in ("en", "zh")
    ]
    spaced = [f" {name}" for name in names if name.isascii()]
    definitions = [
        definition(shape, language)
        for shape in range(len(words.SHAPES))
        for language in ("en", "zh")
    ]
    patterns = [
        *(pattern for patterns in _BRIEF.values() for pattern in patterns),
        *(part for patterns in _DETAILED.values() for parts in patterns for part in parts),
    ]
    between = [piece for pattern in patterns for piece in re.split(r"\{\w+\}", pattern) if piece]
    return names * 3 + spaced * 3 + definitions + between * 2


def stated(text: str, language: Language) -> dict[str, set[int]]:
    """Read the facts that a text states: for each field the indices of the words it names."""
    found: dict[str, set[int]] = {}
    for field, choices in FIELDS.items():
        found[field] = {
            index
            for index, word in enumerate(choices)
            if _mentions(text, _name(word, language), language)
        }
    return found


def is_right(text: str, question: Question, facts: Facts, places: Sequence[int] = ()) -> bool:
    """Whether a text states all that `question` asks for, and nothing that is false.

    Args:
        text: the answer.
        question: that was asked.
        facts: the truth.
        places: other places that are also accepted, near the border of two.
    """
    if question.task is Task.DEFINITION:
        return text.strip() == definition(facts.shape, question.language)
    found = stated(text, question.language)
    for field, values in found.items():
        accepted = {getattr(facts, field), *(places if field == "place" else ())}
        missing = field in _ASKED[question.task] and not values
        if missing or not values <= accepted or len(values) > 1:
            return False
    if question.task is Task.LABEL:
        return text.strip().lower() == label(facts.shape, question.language)
    return True


def _name(word: words.Word, language: Language) -> str:
    return word.en if language == "en" else word.zh


def _mentions(text: str, name: str, language: Language) -> bool:
    if language == "zh":
        return name in text
    return re.search(rf"\b{re.escape(name)}\b", text, re.IGNORECASE) is not None
