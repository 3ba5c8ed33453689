"""The questions, and how "the label and its definition" is read."""

from __future__ import annotations

import pytest

from pam_model import LANGUAGES, Question, Task, split_definition


def test_every_task_has_words_of_its_own_in_every_language() -> None:
    words = [Question(task, language).text for task in Task for language in LANGUAGES]
    assert len(set(words)) == len(words) == 8


@pytest.mark.parametrize(
    ("answer", "label", "definition"),
    [
        ("Star: a shape with five points.", "Star", "a shape with five points."),
        ("Label: star\nDefinition: a shape with points.", "star", "a shape with points."),
        ("label: Star; definition: pointed.", "Star", "pointed."),
        ("**Label:** Star. **Definition:** pointed.", "Star", "pointed."),
        ("Star - a shape with points", "Star", "a shape with points"),
        (
            "Fire truck\nA vehicle that carries water.",
            "Fire truck",
            "A vehicle that carries water.",
        ),
        ("X-ray machine: it sees bones.", "X-ray machine", "it sees bones."),
        ("A star is a shape with points.", "star", "A star is a shape with points."),
        ("星形：有尖角的形状。", "星形", "有尖角的形状。"),
        ("标签：星形\n定义：有尖角的形状。", "星形", "有尖角的形状。"),
        ("星形是一种有尖角的形状。", "星形", "星形是一种有尖角的形状。"),
        ("star", "star", ""),
        ("", "", ""),
        (
            "It has many parts that nobody would ever call a label: two wheels.",
            "",
            "It has many parts that nobody would ever call a label: two wheels.",
        ),
    ],
)
def test_an_answer_is_split(answer: str, label: str, definition: str) -> None:
    assert split_definition(answer) == (label, definition)
