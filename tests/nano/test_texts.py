"""Texts about an object are true, and the judge tells truth from falsehood."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pam_model.nano import texts, words
from pam_model.nano.texts import TEMPLATES, Facts
from pam_model.tasks import LANGUAGES, Question, Task, split_definition

every_facts = st.builds(
    Facts,
    **{field: st.integers(0, len(choices) - 1) for field, choices in texts.FIELDS.items()},
)
questions = st.builds(Question, st.sampled_from(Task), st.sampled_from(LANGUAGES))
templates = st.integers(0, TEMPLATES - 1)
ASKED = {
    Task.LABEL: {"shape"},
    Task.DEFINITION: {"shape"},
    Task.BRIEF: {"shape", "colour", "texture", "size"},
    Task.DETAILED: set(texts.FIELDS),
}
RED_STAR = Facts(shape=3, colour=0, texture=1, size=0, place=4, ground=0)
BRIEF, DETAILED = Question(Task.BRIEF), Question(Task.DETAILED)


@given(every_facts, questions, templates)
def test_every_answer_is_wholly_right(facts, question, template):
    assert texts.is_right(texts.answer(facts, question, template), question, facts)


@given(every_facts, st.sampled_from(LANGUAGES), templates)
def test_captions_state_exactly_their_facts(facts, language, template):
    for task in (Task.BRIEF, Task.DETAILED):
        stated = texts.stated(texts.answer(facts, Question(task, language), template), language)
        for field in texts.FIELDS:
            expected = {getattr(facts, field)} if field in ASKED[task] else set()
            assert stated[field] == expected, field


@given(every_facts, every_facts, questions, templates)
def test_an_answer_about_another_object_is_right_only_where_the_facts_agree(
    facts, other, question, template
):
    agree = all(getattr(facts, f) == getattr(other, f) for f in ASKED[question.task])
    text = texts.answer(other, question, template)
    assert texts.is_right(text, question, facts) == agree


@given(st.integers(0, len(words.SHAPES) - 1), st.sampled_from(LANGUAGES))
def test_definitions_split_into_the_label_and_its_meaning(shape, language):
    label, meaning = split_definition(texts.definition(shape, language))
    assert label.lower() == texts.label(shape, language)
    assert meaning.rstrip(".。") == getattr(words.DEFINITIONS[shape], language)


@pytest.mark.parametrize(
    "text",
    [
        "a small red striped star",
        "A SMALL striped star, Red all over.",
        "a small red striped star in the middle",
    ],
)
def test_other_wordings_of_the_truth_are_right(text):
    assert texts.is_right(text, BRIEF, RED_STAR)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a small red star",  # no texture
        "a small blue striped star",
        "a small red and blue striped star",
        "a small red striped star on the left",  # not asked for, and false
        "a small red striped starfish",
    ],
)
def test_what_is_missing_or_false_makes_a_brief_caption_wrong(text):
    assert not texts.is_right(text, BRIEF, RED_STAR)


def test_a_place_near_the_border_of_two_may_be_either():
    text = texts.answer(RED_STAR._replace(place=5), DETAILED)
    assert not texts.is_right(text, DETAILED, RED_STAR)
    assert texts.is_right(text, DETAILED, RED_STAR, places=(5,))


def test_a_label_is_the_name_alone():
    label = Question(Task.LABEL)
    assert texts.is_right("Star", label, RED_STAR)
    assert not texts.is_right("a star", label, RED_STAR)
    assert not texts.is_right("circle", label, RED_STAR)


def test_a_definition_of_another_wording_is_not_taken_for_right():
    assert not texts.is_right("Star: a star.", Question(Task.DEFINITION), RED_STAR)


def test_wordings_differ():
    for task in (Task.BRIEF, Task.DETAILED):
        for language in LANGUAGES:
            question = Question(task, language)
            assert len({texts.answer(RED_STAR, question, t) for t in range(TEMPLATES)}) == TEMPLATES


def test_no_name_is_found_inside_another_of_its_kind_or_of_any_other():
    for language in LANGUAGES:
        for field, choices in texts.FIELDS.items():
            for index, word in enumerate(choices):
                stated = texts.stated(getattr(word, language), language)
                assert stated.pop(field) == {index}
                assert not any(stated.values())
