"""The questions, and how "the label and its definition" is read."""

from __future__ import annotations

import pickle

import pytest

from pam_model import LANGUAGES, InputError, Language, Question, Task, split_definition


def test_every_task_has_words_of_its_own_in_every_language() -> None:
    words = [Question(task, language).text for task in Task for language in LANGUAGES]
    assert len(set(words)) == len(words) == 8


def test_a_question_is_a_pair_and_its_task_may_be_a_name() -> None:
    question = Question("brief")
    assert question == (Task.BRIEF, "en")
    assert question.task is Task.BRIEF
    assert pickle.loads(pickle.dumps(question)) == question
    assert question._replace(language="zh").text == "对该目标对象提供一个概括的描述"


@pytest.mark.parametrize(
    ("task", "language", "sentence"),
    [
        (Task.BRIEF, "de", "a question is asked in en or zh, not 'de'"),
        (Task.BRIEF, None, "a question is asked in en or zh, not None"),
        ("story", "en", "a question's task is one of label, definition, brief, detailed, not"),
        (None, "en", "a question's task is one of label"),
    ],
)
def test_a_question_that_cannot_be_asked_is_refused_where_it_is_made(
    task: Task, language: Language, sentence: str
) -> None:
    with pytest.raises(InputError, match=sentence):
        Question(task, language)


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
