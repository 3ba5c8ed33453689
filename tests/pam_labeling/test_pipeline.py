"""From prompts and questions to regions and their words, through a whole annotator."""

from __future__ import annotations

import numpy as np
import pytest

from pam_labeling import pipeline
from pam_labeling.annotator import Annotator, Request
from pam_labeling.media import LoadedImage
from pam_labeling.regions import Refusal, Region
from pam_labeling.vocabulary import Vocabulary
from pam_model import AutomaticMaskOptions, GenerationOptions, Prompt, Question, Task
from tests.pam_labeling.conftest import COLOURS, FakePAM, FakeSegments, draw

OBJECTS = (("red", 5, 6, 25, 20), ("blue", 30, 10, 60, 40))
RED_BOX, BLUE_BOX = (
    Prompt.from_box((5, 6, 25, 20)),
    Prompt.from_box((30, 10, 60, 40)),
)


def scene(*objects, **options):
    return LoadedImage.from_pixels(draw(*(objects or OBJECTS), **options))


def test_each_prompt_has_its_region_in_order(annotator):
    click = Prompt.from_points([(10, 10)])
    annotation = annotator.annotate(Request(scene(), prompts=(BLUE_BOX, click)))
    assert annotation.size == (64, 48)
    assert [region.box for region in annotation.regions] == [(30, 10, 60, 40), (5, 6, 25, 20)]
    assert [region.label for region in annotation.regions] == ["blue", "red"]
    first = annotation.regions[0]
    assert first.provenance.prompt is BLUE_BOX
    assert first.provenance.model == "fake"
    assert first.provenance.version
    assert first.scores.iou == pytest.approx(0.9)
    assert first.scores.object == pytest.approx(1 / (1 + np.exp(-4)))
    assert first.scores.label is None
    np.testing.assert_array_equal(first.mask, (scene().pixels == COLOURS["blue"]).all(axis=2))


def _with_specks():
    """A blue square with a stray pixel far away, of which the model's mask has both."""
    pixels = draw(("blue", 10, 10, 50, 45))
    pixels[2, 60] = COLOURS["blue"]
    return LoadedImage.from_pixels(pixels)


class SpeckledPAM(FakePAM):
    def segment(self, features, prompts):
        blue = (features.pixels == COLOURS["blue"]).all(axis=2)
        return FakeSegments(tuple((blue, "blue") for _ in prompts))


def test_stray_pixels_do_not_spoil_a_box():
    with Annotator(SpeckledPAM()) as annotator:
        found = annotator.annotate(Request(_with_specks(), (Prompt.from_box((10, 10, 50, 45)),)))
    assert found.regions[0].box == (10, 10, 50, 45)
    assert found.regions[0].area == 40 * 35


def test_a_mask_that_was_given_stays_as_it_is():
    image = _with_specks()
    given = (image.pixels == COLOURS["blue"]).all(axis=2)
    with Annotator(SpeckledPAM()) as annotator:
        found = annotator.annotate(Request(image, (Prompt.from_mask(given),)))
    np.testing.assert_array_equal(found.regions[0].mask, given)


def test_one_call_of_each_kind_serves_all_prompts_and_questions(annotator, model):
    questions = tuple(Question(task, language) for task in Task for language in ("en", "zh"))
    request = Request(scene(), (RED_BOX, BLUE_BOX), questions, Vocabulary(("red", "blue")))
    annotation = annotator.annotate(request)
    assert set(model.calls.values()) == {1}
    assert set(model.calls) == {"encode", "segment", "prefill", "describe", "classify"}
    assert len(annotation.regions[0].texts) == 8


def test_an_image_is_encoded_once_for_many_requests(annotator, model):
    for prompt in (RED_BOX, BLUE_BOX, RED_BOX):
        annotator.annotate(Request(scene(), (prompt,)))
    assert model.calls["encode"] == 1
    assert model.calls["segment"] == 3
    assert annotator.statistics.cache_hits == 2
    assert annotator.statistics.cached_bytes == 64 * 48 * 3


def test_features_are_kept_within_the_limit(model):
    with Annotator(model, cache_bytes=2 * 64 * 48 * 3) as annotator:
        for ground in ("white", "yellow", "green", "white"):
            annotator.annotate(Request(scene(ground=ground)))
            assert annotator.statistics.cached_bytes <= 2 * 64 * 48 * 3
    assert model.calls["encode"] == 4


def test_without_prompts_everything_is_found(annotator):
    annotation = annotator.annotate(Request(scene()))
    assert [region.label for region in annotation.results] == ["red", "blue"]
    assert all(region.provenance.prompt is None for region in annotation.regions)


def test_everything_passes_its_options_on_and_may_find_nothing(annotator):
    one = annotator.annotate(Request(scene(), everything=AutomaticMaskOptions(max_regions=1)))
    assert len(one.results) == 1
    blank = LoadedImage.from_pixels(draw())
    assert annotator.annotate(Request(blank)).results == ()


def test_a_prompt_where_nothing_is_gets_a_refusal_that_says_so(annotator, model):
    nothing = Prompt.from_points([(1, 1)])
    annotation = annotator.annotate(Request(scene(), (nothing, RED_BOX)))
    refusal, region = annotation.results
    assert isinstance(refusal, Refusal)
    assert refusal.prompt is nothing
    assert "no object here (probability 0.02)" in refusal.reason
    assert region.label == "red"


def test_an_object_with_an_empty_mask_gets_a_refusal_of_its_own(annotator, model, monkeypatch):
    empty = FakeSegments(((np.zeros((48, 64), np.bool_), "white"),), np.array([4.0], np.float32))
    monkeypatch.setattr(model, "segment", lambda *_: empty)
    nothing = Prompt.from_points([(1, 1)])
    (refusal,) = annotator.annotate(Request(scene(), (nothing,))).refusals
    assert "its mask is empty: draw a larger box" in refusal.reason
    assert "no object" not in refusal.reason


def test_without_questions_the_language_model_is_left_alone(annotator, model):
    annotation = annotator.annotate(Request(scene(), (RED_BOX,), questions=()))
    assert set(model.calls) == {"encode", "segment"}
    assert annotation.regions[0].label is None
    assert annotation.regions[0].texts == {}


@pytest.mark.parametrize("questions", [(), (Question(Task.LABEL),)])
def test_embeddings_come_from_the_same_prefill_as_the_words(annotator, model, questions):
    request = Request(scene(), (RED_BOX, BLUE_BOX), questions, embed=True)
    red, blue = annotator.annotate(request).regions
    assert (red.embedding.argmax(), blue.embedding.argmax()) == (0, 2)
    assert red.label == ("red" if questions else None)
    assert (model.calls["prefill"], model.calls["embed"]) == (1, 1)
    assert model.calls["describe"] == len(questions)


def test_without_a_wish_for_embeddings_there_are_none(annotator, model):
    (red,) = annotator.annotate(Request(scene(), (RED_BOX,))).regions
    assert red.embedding is None
    assert not model.calls["embed"]


def test_a_given_mask_on_nothing_has_an_embedding_and_no_words(annotator):
    nothing, red = np.zeros((2, 48, 64), np.bool_)
    nothing[:5, :5], red[6:20, 5:25] = True, True
    prompts = (Prompt.from_mask(nothing), Prompt.from_points([(1, 1)]), Prompt.from_mask(red))
    first, second, third = annotator.annotate(Request(scene(), prompts, embed=True)).results
    assert (first.label, first.texts) == (None, {})
    assert isinstance(second, Refusal)
    assert third.label == "red"
    assert (first.embedding.argmax(), third.embedding.argmax()) == (4, 0)


def test_the_projects_own_label_wins_over_the_open_one(annotator):
    request = Request(scene(), (RED_BOX,), vocabulary=Vocabulary(("blue", "red")))
    (region,) = annotator.annotate(request).regions
    assert region.label == "red"
    assert region.scores.label == pytest.approx(np.exp(-0.1) / (1 + np.exp(-8)), abs=1e-5)
    assert region.open_label is None


def test_a_label_that_does_not_fit_is_not_given_and_the_models_own_is_told(annotator):
    vocabulary = Vocabulary(("cat", "dog"))
    (region,) = annotator.annotate(Request(scene(), (RED_BOX,), vocabulary=vocabulary)).regions
    assert (region.label, region.open_label) == (None, "red")
    assert region.scores.label < 0.001
    assert region.texts[Task.LABEL, "en"] == "red"


@pytest.mark.parametrize("questions", [(), (Question(Task.LABEL),)])
@pytest.mark.parametrize("fit", [-0.1, -2.0])
def test_whether_the_own_label_is_asked_for_does_not_change_the_label(
    annotator, model, questions, fit
):
    model.fit = fit
    vocabulary = Vocabulary(("Blue", "Reds"))
    request = Request(scene(), (RED_BOX, BLUE_BOX), questions, vocabulary)
    red, blue = annotator.annotate(request).regions
    assert (red.label, blue.label) == ("Reds", "Blue")
    # What does not fit well is rescued by the model's own answer.
    expected = pytest.approx(np.exp(-0.1) if fit == -0.1 else 1, abs=1e-2)
    assert (red.scores.label, blue.scores.label) == (expected, expected)
    assert (red.open_label, blue.open_label) == (None, None)


def test_only_regions_that_no_label_fits_are_asked_for_their_own(annotator, model):
    request = Request(scene(), (RED_BOX, BLUE_BOX), (), Vocabulary(("blue", "dog")))
    red, blue = annotator.annotate(request).regions
    assert (red.label, red.open_label) == (None, "red")
    assert (blue.label, blue.open_label) == ("blue", None)
    assert [count for what, count in model.passes if what == "describe"] == [1]
    assert red.texts == blue.texts == {}


def test_a_model_that_begins_with_capitals_is_asked_about_them(annotator, model, monkeypatch):
    spellings = []

    def classify(contexts, labels, *, language, score):
        yield
        spellings.append(labels)
        known = {"Thing": -1.0, "blue": -0.2, "Cat": -9.0}
        return np.array([[known.get(label, -8.0) for label in labels] for _ in contexts.names])

    def describe(contexts, questions, options):
        yield
        return [["Red thing here" if name == "red" else "blue"] for name in contexts.names]

    monkeypatch.setattr(model, "classify_in_steps", classify)
    monkeypatch.setattr(model, "describe_in_steps", describe)
    choices = {"sure": Vocabulary(("blue", "thing")), "unsure": Vocabulary(("thing", "cat"))}
    request = Request(scene(), (RED_BOX, BLUE_BOX), (), choices=choices)
    red, blue = annotator.annotate(request).regions
    assert spellings == [("blue", "thing", "cat"), ("Blue", "Thing", "Cat")]
    assert red.choices["unsure"].label == "thing"
    assert red.choices["unsure"].score == pytest.approx(np.exp(-1), abs=1e-3)
    # Where a list fits as it is, or the model writes in lower case, capitals count for nothing.
    assert red.choices["sure"].scores == pytest.approx(
        [np.exp(-0.2) / (1 + np.exp(-8)), 0], abs=1e-3
    )
    assert blue.choices["unsure"].label is None


def test_a_sampled_answer_does_not_decide_about_a_label(annotator, model):
    sampled = GenerationOptions(temperature=1.0)
    request = Request(scene(), (RED_BOX,), vocabulary=Vocabulary(("dog",)), generation=sampled)
    (region,) = annotator.annotate(request).regions
    assert region.open_label == "red"
    assert model.calls["describe"] == 2


def test_images_outside_nanos_world_have_a_note_which_is_logged_once(
    annotator, model, monkeypatch, caplog
):
    monkeypatch.setattr(pipeline, "is_outside", lambda features: features.size != (64, 48))
    photo, drawn = scene(size=(32, 48)), scene()
    click = (Prompt.from_points([(10, 10)]),)
    notes = [annotator.annotate(Request(photo, click)).note]
    assert notes == [None]  # only nano can tell
    monkeypatch.setattr(model, "name", "nano")
    notes = [annotator.annotate(Request(image, click)).note for image in (drawn, photo, photo)]
    assert notes == [None, pipeline.OUTSIDE, pipeline.OUTSIDE]
    assert [record.getMessage() for record in caplog.records] == [
        f"{photo.name!r}: {pipeline.OUTSIDE}"
    ]


def test_a_given_mask_is_asked_for_an_object_by_a_click_inside(annotator):
    nothing, there = np.zeros((2, 48, 64), dtype=np.bool_)
    nothing[1:4, 1:4] = True
    there[8:18, 7:20] = True
    prompts = (Prompt.from_mask(nothing), RED_BOX, Prompt.from_mask(there))
    ground, box, mask = annotator.annotate(Request(scene(), prompts)).results
    np.testing.assert_array_equal(ground.mask, nothing)
    assert ground.scores.object == pytest.approx(0.018, abs=1e-3)
    assert box.scores.object == mask.scores.object == pytest.approx(0.982, abs=1e-3)
    np.testing.assert_array_equal(mask.mask, there)


def test_nothing_is_said_about_a_given_mask_on_nothing(annotator, model):
    nothing = np.zeros((48, 64), dtype=np.bool_)
    nothing[1:4, 1:4] = True
    request = Request(
        scene(),
        (Prompt.from_mask(nothing), RED_BOX),
        vocabulary=Vocabulary(("white", "red"), label_fit=0),
        choices={"kind": Vocabulary(("white", "red", "blue"))},
    )
    ground, red = annotator.annotate(request).results
    assert isinstance(ground, Region)
    assert not ground.scores.sees_object
    assert (ground.label, ground.open_label, ground.texts) == (None, None, {})
    assert ground.scores.label == 0
    kind = ground.choices["kind"]
    assert (kind.label, kind.score, kind.none, kind.scores.tolist()) == (None, 0, 1, [0, 0, 0])
    assert (red.label, red.scores.sees_object) == ("red", True)
    assert model.passes.count(("prefill", 1)) == 1


@pytest.mark.parametrize(
    ("box", "angle", "beside"),
    [
        ((30, 2, 40, 6), 0, True),  # the object's mask ends at x = 20 and y = 18
        ((20, 2, 40, 17), 0, True),
        ((2, 18, 19, 40), 0, True),
        ((1, 1, 7, 8), 0, True),
        ((19, 2, 40, 17), 0, False),
        ((19.5, 17.5, 30, 30), 0, False),
        ((1, 1, 7.2, 8.2), 0, False),
        ((20, 10, 30, 12), 90, True),
        ((10, 21, 22, 23), 90, False),  # unturned, it would lie below the object
    ],
)
def test_a_box_whose_mask_is_outside_it_is_refused(
    annotator, model, monkeypatch, box, angle, beside
):
    mask = np.zeros((48, 64), dtype=np.bool_)
    mask[8:18, 7:20] = True
    found = FakeSegments(((mask, "red"),), np.array([4.0], np.float32))
    monkeypatch.setattr(model, "segment", lambda *_: found)
    prompt = Prompt.from_box(box, angle=angle)
    (result,) = annotator.annotate(Request(scene(), (prompt,))).results
    assert isinstance(result, Refusal) == beside
    if beside:
        assert "an object beside the box, but none in it" in result.reason


def test_a_definition_is_split_and_names_the_region_where_no_label_was_asked(annotator):
    request = Request(scene(), (RED_BOX,), questions=(Question(Task.DEFINITION),))
    (region,) = annotator.annotate(request).regions
    assert region.label == "red"
    assert region.texts == {(Task.DEFINITION, "en"): "something that is red"}


def test_many_regions_are_described_a_few_at_a_time(model):
    objects = [("red", x, y, x + 3, y + 3) for x in range(1, 60, 6) for y in range(1, 45, 6)]
    with Annotator(model, regions_per_step=16) as annotator:
        annotation = annotator.annotate(Request(scene(*objects)))
    assert len(annotation.regions) == len(objects) == 80
    assert model.calls["prefill"] == model.calls["describe"] == 5


def test_very_many_prompts_are_segmented_in_passes_and_stay_in_order(annotator, model):
    points = [(x + 0.5, 8) for x in range(5, 25)] * 4
    annotation = annotator.annotate(
        Request(scene(), tuple(Prompt.from_points([p]) for p in points))
    )
    assert len(annotation.regions) == 80
    assert model.calls["segment"] == 2
    found = [tuple(region.provenance.prompt.points[0]) for region in annotation.regions]
    assert found == points


def test_further_lists_are_chosen_from_beside_the_label_with_phrases_of_their_own(annotator, model):
    warmth = Vocabulary(("warm", "cold"), phrases={"warm": ("red", "yellow"), "cold": ("blue",)})
    request = Request(
        scene(),
        (RED_BOX, BLUE_BOX),
        vocabulary=Vocabulary(("blue", "red")),
        choices={"warmth": warmth, "other": Vocabulary(("cat", "dog"))},
    )
    red, blue = annotator.annotate(request).regions
    assert (red.label, blue.label) == ("red", "blue")
    assert (red.choices["warmth"].label, blue.choices["warmth"].label) == ("warm", "cold")
    assert red.choices["other"].label is None
    assert model.calls["classify"] == 1, "lists of one language are scored together"


def test_one_list_may_serve_the_label_and_a_choice(annotator):
    colours = Vocabulary(("blue", "red"))
    request = Request(scene(), (RED_BOX,), vocabulary=colours, choices={"colour": colours})
    (region,) = annotator.annotate(request).regions
    assert region.label == region.choices["colour"].label == "red"


def test_lists_of_two_languages_are_asked_in_their_own(annotator, model):
    request = Request(
        scene(),
        (RED_BOX,),
        questions=(),
        vocabulary=Vocabulary(("blue", "red")),
        choices={"zh": Vocabulary(("蓝色", "红色"))},
    )
    (region,) = annotator.annotate(request).regions
    assert (region.label, region.choices["zh"].label) == ("red", "红色")
    assert model.calls["classify"] == 2
