"""The spellings of a label that the model may answer with, and the answers that end in it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from inflection import singularize

from pam_model.tasks import Language

_ARTICLES = frozenset({"a", "an", "the"})
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_BETWEEN_WORDS = re.compile(r"[\s_\-.,;:!?\"'()，。；：！？、“”（）]+")


def language_of(phrases: Iterable[str]) -> Language:
    """The language of a list of labels: Chinese, if most of them have a Chinese character."""
    chinese = [_HAN.search(phrase) is not None for phrase in phrases]
    return "zh" if sum(chinese) * 2 > len(chinese) else "en"


def words(text: str, language: Language) -> tuple[str, ...]:
    """The words of a label or an answer in lower case, without articles; in Chinese, characters."""
    parts = [part for part in _BETWEEN_WORDS.split(text.casefold()) if part]
    if language == "zh":
        return tuple("".join(parts))
    return tuple(part for part in parts if part not in _ARTICLES) or tuple(parts)


def forms(phrase: str, language: Language) -> tuple[str, ...]:
    """How the model may spell a phrase, each form once: "Rings", "rings", "ring".

    As written; in English also in lower case without an article, and, of a plural, the singular.
    Other capitals would make a list a third dearer: the pipeline scores them only if the model
    begins its own words with one.
    """
    written = phrase.strip()
    if language == "zh":
        return (written,)
    said = words(written, language)
    spelled = [" ".join(said)]
    if said and (one := _singular(said[-1])) != said[-1]:
        spelled.append(" ".join((*said[:-1], one)))
    return tuple(form for form in dict.fromkeys([written, *spelled]) if form)


def ends_in(answer: str, phrase: str, language: Language) -> int:
    """How many words of the phrase an answer ends in: all or 0. "A yellow ring." ends in "rings".

    An answer that has the phrase elsewhere does not count: a ring box is no ring.
    """
    said, wanted = words(answer, language), words(phrase, language)
    if not wanted or len(said) < len(wanted):
        return 0
    start, last = said[-len(wanted) : -1], said[-1]
    alike = last == wanted[-1]
    if language == "en":
        alike = alike or _singular(last) == _singular(wanted[-1])
    return len(wanted) if alike and start == wanted[:-1] else 0


def _singular(word: str) -> str:
    """The singular of an English noun; other words as they are, or as no word at all."""
    if len(word) < 3 or not (word.isascii() and word.isalpha()):
        return word
    return singularize(word)
