from __future__ import annotations

import numpy as np
import pytest

from pam_labeling.errors import VocabularyError
from pam_labeling.vocabulary import Vocabulary


def test_the_likeliest_label_is_chosen_with_its_share():
    vocabulary = Vocabulary(("cat", "dog"))
    (first, second) = vocabulary.choose(np.log([[0.75, 0.25], [0.1, 0.9]]))
    assert (first.label, second.label) == ("cat", "dog")
    assert first.score == pytest.approx(0.75)
    np.testing.assert_allclose(second.scores, [0.1, 0.9], rtol=1e-6)


def test_shares_survive_very_unlikely_labels():
    (choice,) = Vocabulary(("cat", "dog", "cow")).choose(np.array([[-2000.0, -2001.0, -np.inf]]))
    assert choice.label == "cat"
    assert choice.score == pytest.approx(1 / (1 + np.exp(-1)))
    assert choice.scores[2] == 0


def test_under_the_threshold_no_label_is_chosen_but_the_score_is_told():
    vocabulary = Vocabulary(("cat", "dog"), threshold=0.6)
    (choice,) = vocabulary.choose(np.log([[0.55, 0.45]]))
    assert choice.label is None
    assert choice.score == pytest.approx(0.55)


def test_the_threshold_itself_is_enough():
    (choice,) = Vocabulary(("cat", "dog"), threshold=0.5).choose(np.zeros((1, 2)))
    assert choice.label == "cat"


def test_no_regions_no_choices():
    assert Vocabulary(("cat",)).choose(np.zeros((0, 1), dtype=np.float32)) == []


@pytest.mark.parametrize(
    ("labels", "threshold", "message"),
    [
        ((), 0.0, "is empty"),
        (("cat", " "), 0.0, "label 2 of the list is empty"),
        (("cat", "dog", "cat"), 0.0, "'cat' is in the list twice"),
        (("cat",), 1.5, "from 0 to 1"),
        (("cat",), float("nan"), "from 0 to 1"),
    ],
)
def test_unusable_lists_are_refused(labels, threshold, message):
    with pytest.raises(VocabularyError, match=message):
        Vocabulary(labels, threshold=threshold)


@pytest.mark.parametrize("values", [np.zeros((1, 3)), np.zeros(2), np.full((1, 2), np.nan)])
def test_unusable_likelihoods_are_refused(values):
    with pytest.raises(VocabularyError):
        Vocabulary(("cat", "dog")).choose(values)


def test_a_label_is_as_likely_as_the_likeliest_of_its_phrases():
    vocabulary = Vocabulary(("c1", "dog"), phrases={"c1": ("cat", "kitten")})
    assert vocabulary.spoken == ("cat", "kitten", "dog")
    (choice,) = vocabulary.choose(np.log([[0.1, 0.6, 0.2]]))
    assert (choice.label, choice.score) == ("c1", pytest.approx(0.75))
    assert choice.scores == pytest.approx([0.75, 0.25])


def test_labels_may_share_a_phrase_which_is_asked_once():
    vocabulary = Vocabulary(("a", "b"), phrases={"a": ("dog",), "b": ("dog", "cat")})
    assert vocabulary.spoken == ("dog", "cat")
    (choice,) = vocabulary.choose(np.log([[0.2, 0.6]]))
    assert choice.label == "b"


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
