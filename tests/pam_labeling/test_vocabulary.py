from __future__ import annotations

import numpy as np
import pytest

from pam_labeling.errors import VocabularyError
from pam_labeling.vocabulary import LABEL_FIT, Vocabulary


def choose(vocabulary, *rows, answers=()):
    """Choices from the fits of some spellings, one dictionary a region; others do not fit."""
    fits = [[row.get(form, -9000.0) for form in vocabulary.spoken] for row in rows]
    return vocabulary.choose(np.array(fits, dtype=np.float32), answers)


def test_the_label_that_fits_best_is_chosen_and_its_score_is_its_fit():
    vocabulary = Vocabulary(("cat", "dog"))
    first, second = choose(vocabulary, {"cat": 0.0, "dog": -9.0}, {"dog": np.log(0.6)})
    assert (first.label, second.label) == ("cat", "dog")
    assert first.score == pytest.approx(1 / (1 + np.exp(-9.0)))
    assert second.score == pytest.approx(0.6)


def test_the_scores_and_none_add_up_to_one():
    fits = {"cat": -1.0, "dog": -2.0, "cow": -3.0}
    (choice,) = choose(Vocabulary(tuple(fits)), fits)
    total = 1 + np.exp(-2) + np.exp(-3)
    assert choice.scores == pytest.approx(np.exp([-1, -2, -3]) / total)
    assert choice.none == pytest.approx((1 - np.exp(-1)) / total)
    assert choice.scores.sum() + choice.none == pytest.approx(1)


@pytest.mark.parametrize("others", [0, 2, 39])
def test_a_label_that_does_not_fit_is_left_out_of_a_list_of_any_length(others):
    vocabulary = Vocabulary(("cat", *(f"thing {number}" for number in range(others))))
    absent, present = choose(vocabulary, {"cat": -6.0}, {"cat": -0.5})
    assert (absent.label, present.label) == (None, "cat")
    assert absent.score == pytest.approx(np.exp(-6), abs=1e-6)
    assert absent.none == pytest.approx(1 - np.exp(-6), abs=1e-6)


def test_the_threshold_itself_is_enough_and_0_always_gives_a_label():
    assert choose(Vocabulary(("cat",), label_fit=0.5), {"cat": np.log(0.51)})[0].label == "cat"
    assert choose(Vocabulary(("cat",), label_fit=0.5), {"cat": np.log(0.49)})[0].label is None
    nothing = {"cat": -2001.0, "dog": -2000.0, "cow": -np.inf}
    always, usual = (
        choose(Vocabulary(tuple(nothing), label_fit=fit), nothing)[0] for fit in (0, LABEL_FIT)
    )
    assert (always.label, usual.label) == ("dog", None)
    assert always.score == 0


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("Ring", "ring"),
        ("RING", "ring"),
        ("Ring", "Ring"),
        ("a ring", "ring"),
        ("The Ring", "ring"),
        ("rings", "ring"),
        ("Traffic Lights", "traffic light"),
        ("traffic_light", "traffic light"),
        ("traffic-light", "traffic light"),
        (" ring ", "ring"),
        ("knives", "knife"),
        ("people", "person"),
        ("TV", "TV"),
    ],
)
def test_capitals_articles_and_plurals_fit(label, said):
    vocabulary = Vocabulary((label, "dog"))
    assert choose(vocabulary, {said: -0.1})[0].label == label


@pytest.mark.parametrize(
    ("label", "answer"),
    [("ring", "Ring"), ("rings", "RING."), ("traffic light", "Traffic Light"), ("Tv", "a TV")],
)
def test_a_label_that_the_model_spells_with_other_capitals_fits(label, answer):
    vocabulary = Vocabulary((label, "dog"))
    assert answer not in vocabulary.spoken
    (choice,) = choose(vocabulary, {answer: 0.0}, answers=[answer])
    assert (choice.label, choice.score) == (label, pytest.approx(1))


@pytest.mark.parametrize("label", ["ring", "rings", "RING", "yellow ring", "a Yellow Ring"])
def test_a_label_in_which_the_models_own_answer_ends_fits(label):
    vocabulary = Vocabulary(("dog", label))
    (choice,) = choose(vocabulary, {}, answers=["A yellow ring."])
    assert (choice.label, choice.score) == (label, pytest.approx(1))
    assert choice.none == pytest.approx(0)


@pytest.mark.parametrize("answer", ["ring box", "earring", "spring", "", "rings of Saturn", None])
def test_a_label_elsewhere_in_the_models_own_answer_does_not_fit(answer):
    assert choose(Vocabulary(("ring",)), {}, answers=[answer])[0].label is None


def test_the_longest_label_in_which_the_answer_ends_wins():
    vocabulary = Vocabulary(("light", "traffic light", "red traffic"))
    (choice,) = choose(vocabulary, {}, answers=["red traffic light"])
    assert choice.label == "traffic light"


def test_the_models_own_answer_changes_nothing_where_a_label_fits():
    vocabulary = Vocabulary(("cat", "dog"))
    fits = {"cat": -0.6, "dog": -3.0}
    assert choose(vocabulary, fits)[0].score == choose(vocabulary, fits, answers=["dog"])[0].score
    unsure = vocabulary.unsure(np.array([[-0.6] * 2, [-0.8] * 2]))
    assert unsure.tolist() == [False, True]


def test_a_chinese_list_is_asked_in_chinese_as_it_is_written():
    vocabulary = Vocabulary(("圆环", "十字"))
    assert vocabulary.asked_in == "zh"
    assert vocabulary.spoken == ("圆环", "十字")
    assert choose(vocabulary, {}, answers=["黄色圆环。"])[0].label == "圆环"
    assert choose(vocabulary, {}, answers=["圆环盒"])[0].label is None


@pytest.mark.parametrize(
    ("labels", "phrases", "language"),
    [
        (("cat", "dog"), {}, "en"),
        (("猫", "狗", "T恤"), {}, "zh"),
        (("猫", "dog"), {}, "en"),
        (("c1", "c2"), {"c1": ("猫",), "c2": ("狗", "犬")}, "zh"),
        (("猫",), {"猫": ("cat",)}, "en"),
    ],
)
def test_the_language_is_that_of_most_phrases_unless_it_is_given(labels, phrases, language):
    assert Vocabulary(labels, phrases=phrases).asked_in == language
    assert Vocabulary(labels, "en", phrases=phrases).asked_in == "en"


def test_says_tells_a_label_in_another_spelling_from_other_words():
    vocabulary = Vocabulary(("Rings", "c1"), phrases={"c1": ("airplane", "jet")})
    assert vocabulary.says("Rings", "a ring.")
    assert vocabulary.says("c1", "Jet")
    assert not vocabulary.says("Rings", "yellow ring")
    assert not vocabulary.says("Rings", "")
    assert not vocabulary.says(None, "ring")


@pytest.mark.parametrize(
    ("labels", "alike"),
    [
        (("Cup", "dog", "cups"), [("Cup", "cups")]),
        (("cup", "The cup", "CUPS"), [("cup", "The cup"), ("cup", "CUPS")]),
        (("traffic_light", "Traffic Light"), [("traffic_light", "Traffic Light")]),
        (("cup", "tea cup", "cupboard"), []),
        (("圆环", "圆"), []),
    ],
)
def test_labels_of_the_same_form_are_told(labels, alike):
    assert Vocabulary(labels).alike == tuple(alike)


def test_labels_that_share_a_phrase_are_alike():
    phrases = {"a": ("dog", "cat"), "b": ("cow", "Cats", "Dogs")}
    assert Vocabulary(("a", "b"), phrases=phrases).alike == (("a", "b"),)


def test_no_regions_no_choices():
    assert Vocabulary(("cat",)).choose(np.zeros((0, 1), dtype=np.float32)) == []


@pytest.mark.parametrize(
    ("labels", "label_fit", "message"),
    [
        ((), 0.0, "is empty"),
        (("cat", " "), 0.0, "label 2 of the list is empty"),
        ("cat", 0.0, r"labels must be a list such as \(\"cat\", \"dog\"\), not 'cat'"),
        (("cat", 5), 0.0, "label 2 of the list is no text: 5"),
        (("cat", "dog", "cat"), 0.0, "'cat' is in the list twice"),
        (("cat",), 1.5, "from 0 to 1"),
        (("cat",), float("nan"), "from 0 to 1"),
    ],
)
def test_unusable_lists_are_refused(labels, label_fit, message):
    with pytest.raises(VocabularyError, match=message):
        Vocabulary(labels, label_fit=label_fit)


def test_the_threshold_of_version_0_1_is_refused_by_the_name_of_the_new_one():
    with pytest.raises(VocabularyError, match="label_fit replaces threshold"):
        Vocabulary(("cat",), threshold=0.0)


@pytest.mark.parametrize("values", [np.zeros((1, 3)), np.zeros(2), np.full((1, 2), np.nan)])
def test_unusable_fits_are_refused(values):
    vocabulary = Vocabulary(("cat", "dog"))
    with pytest.raises(VocabularyError):
        vocabulary.choose(values)
    with pytest.raises(VocabularyError):
        vocabulary.unsure(values)


def test_a_label_fits_as_well_as_the_best_of_its_phrases():
    vocabulary = Vocabulary(("c1", "dog"), phrases={"c1": ("cat", "kitten")})
    assert vocabulary.spoken == ("cat", "kitten", "dog")
    (choice,) = choose(vocabulary, {"cat": -3.0, "kitten": -0.5, "dog": -2.0})
    assert (choice.label, choice.score) == ("c1", pytest.approx(np.exp(-0.5) / (1 + np.exp(-2))))


def test_labels_may_share_a_phrase_which_is_asked_once():
    vocabulary = Vocabulary(("a", "b"), phrases={"a": ("dog",), "b": ("dog", "cat")})
    assert vocabulary.spoken == ("dog", "cat")
    assert choose(vocabulary, {"dog": -2.0, "cat": -0.5})[0].label == "b"


@pytest.mark.parametrize(
    ("phrases", "message"),
    [
        ({"cow": ("cow",)}, "'cow', which is not in the list"),
        ({"cat": ()}, "phrases for 'cat' is empty"),
        ({"cat": (" ",)}, "phrase ' ' for 'cat'"),
    ],
)
def test_phrases_that_cannot_be_are_refused(phrases, message):
    with pytest.raises(VocabularyError, match=message):
        Vocabulary(("cat", "dog"), phrases=phrases)
