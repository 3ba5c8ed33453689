"""The annotator on a real PAM (random weights), against the same calls made by hand."""

from __future__ import annotations

import time

import numpy as np
import pytest

from pam_labeling.annotator import MOST_TOKENS, Annotator, Request
from pam_labeling.errors import DeadlineError
from pam_labeling.media import LoadedImage
from pam_labeling.regions import Region
from pam_labeling.vocabulary import Vocabulary
from pam_model import AutomaticMaskOptions, GenerationOptions, Prompt, Question, Task
from tests.model.tiny import tiny_pam

QUESTIONS = (Question(Task.LABEL), Question(Task.BRIEF, "zh"))
SHORT = GenerationOptions(max_new_tokens=4)
MASK = np.zeros((90, 120), dtype=np.bool_)
MASK[20:40, 30:70] = True
PROMPTS = (
    Prompt.from_box((10, 10, 50, 40)),
    Prompt.from_points([(70, 60), (20, 20)], [True, False]),
    Prompt.from_mask(MASK),
    Prompt.from_box((20, 20, 80, 50), angle=30),
    Prompt.from_points([(100, 70)]),
    Prompt.from_box((60, 50, 110, 80), points=[(80, 60)]),
)


@pytest.fixture(scope="module")
def pam():
    return tiny_pam()


@pytest.fixture(scope="module")
def image():
    pixels = np.random.default_rng(0).integers(0, 256, (90, 120, 3), dtype=np.uint8)
    pixels[10:40, 10:50] = 240
    pixels[50:80, 60:110] = (20, 60, 90)
    return LoadedImage.from_pixels(pixels)


@pytest.mark.parametrize("regions_per_step", [2, 16])
def test_the_annotator_says_what_pam_says(pam, image, regions_per_step):
    features = pam.encode(image.pixels)
    segments = pam.segment(features, PROMPTS)
    masks = segments.masks()
    scores = segments.object_scores.copy()
    inside = Prompt.from_points([PROMPTS[2].cropped.deepest_point])
    scores[2] = pam.segment(features, [inside]).object_scores[0]
    contexts = pam.prefill(segments)
    answers = pam.describe(contexts, QUESTIONS, SHORT)
    vocabulary = Vocabulary(("cat", "dog", "a longer label"))
    fits = pam.classify(contexts, vocabulary.spoken, score="fit")
    choices = vocabulary.choose(fits, [said for said, _ in answers])
    request = Request(image, PROMPTS, QUESTIONS, vocabulary, generation=SHORT)
    with Annotator(pam, regions_per_step=regions_per_step) as annotator:
        results = annotator.annotate(request).results
    assert sum(isinstance(result, Region) for result in results) >= 4
    for index, result in enumerate(results):
        x1, y1, x2, y2 = map(int, PROMPTS[index].box or (0, 0, 120, 90))
        touches = index == 3 or masks[index][y1:y2, x1:x2].any()  # the turned box has its own test
        there = masks[index].any() and touches and (scores[index] > 0 or index == 2)
        assert isinstance(result, Region) == there
        if not isinstance(result, Region):
            continue
        np.testing.assert_array_equal(result.mask, masks[index])
        if scores[index] <= 0:
            assert (result.label, result.texts) == (None, {})
            continue
        assert [result.texts[question] for question in QUESTIONS] == [
            answer.strip() for answer in answers[index]
        ]
        assert result.label == choices[index].label
        assert result.scores.label == pytest.approx(choices[index].score, abs=1e-4)
        assert result.provenance.prompt is PROMPTS[index]


def test_everything_and_masks_only(pam, image):
    options = AutomaticMaskOptions(
        points_per_side=4, iou_threshold=0, stability_threshold=0, max_area=1, max_regions=3
    )
    with Annotator(pam) as annotator:
        request = Request(image, questions=(), everything=options)
        regions = annotator.annotate(request).regions
    assert 1 <= len(regions) <= 3
    assert all(region.area and region.label is None for region in regions)


def test_a_deadline_stops_a_long_answer(pam, image):
    request = Request(image, PROMPTS[:1], generation=GenerationOptions(max_new_tokens=100_000))
    with Annotator(pam) as annotator:
        future = annotator.submit(request, timeout=0.5)
        begin = time.monotonic()
        assert isinstance(future.exception(30), DeadlineError)
        assert time.monotonic() - begin < 15


def test_labels_that_are_too_long_are_those_that_the_model_refuses(pam, image):
    fits = "a" * MOST_TOKENS  # the tokenizer of these tests makes one of each letter
    long = f"{fits}a"
    with Annotator(pam) as annotator:
        assert annotator.too_long(["cat", fits, long]) == [long]
        annotator.annotate(Request(image, PROMPTS[:1], vocabulary=Vocabulary((fits, "b"))))
        with pytest.raises(ValueError, match="tokens long"):
            annotator.annotate(Request(image, PROMPTS[:1], vocabulary=Vocabulary((long, "b"))))
