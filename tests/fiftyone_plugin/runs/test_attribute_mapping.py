"""Answers become attributes of labels."""

from __future__ import annotations

import fiftyone as fo
import numpy as np
import pytest

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.labels.regions import LabelRegion
from fiftyone_plugin.runs.attribute_mapping import AttributeMapping, Masks, by_label
from pam_labeling import Provenance, Region, Scores, Vocabulary
from pam_model import Prompt, Question, Task

BRIEF, LABEL = Question(Task.BRIEF), Question(Task.LABEL)
BOX = [0.25, 0.25, 0.5, 0.5]


def region(chosen=None, share=None, **texts):
    mask = np.zeros((8, 8), dtype=bool)
    mask[2:6, 2:6] = True
    return Region.from_mask(
        mask,
        Scores(iou=0.9, object=0.8, label=share),
        Provenance("nano", "0"),
        label=chosen,
        texts={(Task(task), "en"): text for task, text in texts.items()},
    )


def source(label="cat", **attributes):
    detection = fo.Detection(label=label, bounding_box=BOX, **attributes)
    return LabelRegion(detection.id, Prompt.from_box((2, 2, 6, 6)), label, detection)


def test_each_answer_goes_to_its_attribute():
    answers = AttributeMapping({BRIEF: "caption", LABEL: "name"}, score="iou")
    values = answers.values(region(brief="a cat", label="cat"), source())
    assert values == {"caption": "a cat", "name": "cat", "iou": 0.9}


def test_a_score_is_the_share_where_there_are_classes():
    answers = AttributeMapping(vocabulary=Vocabulary(("cat", "dog")), score="share")
    assert answers.values(region("dog", 0.7), source()) == {"pam_label": "dog", "share": 0.7}


def test_a_class_that_was_not_chosen_clears_an_attribute_but_never_the_label():
    vocabulary = Vocabulary(("cat", "dog"), label_fit=0.9)
    undecided = region(None, 0.5)
    assert AttributeMapping(vocabulary=vocabulary).values(undecided, source()) == {
        "pam_label": None
    }
    onto_label = AttributeMapping(vocabulary=vocabulary, class_attribute="label")
    assert onto_label.values(undecided, source()) == {}


@pytest.mark.parametrize(
    ("chosen", "present", "written"),
    [("dog", "cat", True), ("Cat", "cat", False), (None, "cat", False), ("dog", None, True)],
)
def test_only_disagreement_is_written(chosen, present, written):
    answers = AttributeMapping(vocabulary=Vocabulary(("cat", "dog")), only_disagreeing=True)
    assert bool(answers.values(region(chosen, 0.9), source(present))) == written


@pytest.mark.parametrize("tighten", [False, True])
def test_a_mask_is_cut_at_the_box_or_the_box_made_tight(tighten):
    values = AttributeMapping(masks=Masks(tighten=tighten)).values(region(), source())
    assert values["mask"].shape == (4, 4)
    assert ("bounding_box" in values) == tighten


def test_a_mask_goes_to_a_file_named_after_its_label(tmp_path):
    given = source()
    values = AttributeMapping(masks=Masks(tmp_path)).values(region(), given)
    assert values["mask"] is None
    assert values["mask_path"] == str(tmp_path / f"{given.label_id}.png")


def test_attributes_are_declared_with_their_kinds_and_descriptions():
    answers = AttributeMapping(
        {BRIEF: "caption", Question(Task.DEFINITION, "zh"): "meaning"}, score="iou", masks=Masks()
    )
    found = {one.name: (one.kind, one.description) for one in answers.attributes(fo.Detection)}
    assert found["caption"] == ("text", "Brief caption, by PAM")
    assert found["meaning"] == ("text", "Definition, by PAM (zh)")
    assert found["iou"] == ("number", "Expected IoU of the mask, by PAM")
    assert {"mask", "mask_path"} < set(found)
    assert "bounding_box" not in found


def test_a_segmentation_has_dictionaries():
    answers = AttributeMapping({BRIEF: "caption"}, Vocabulary(("cat",)), score="share")
    assert {one.kind for one in answers.attributes(fo.Segmentation)} == {"record"}


def test_classes_of_one_segmentation_are_joined_and_other_classes_stay():
    segmentation = fo.Segmentation(
        mask=np.ones((2, 2), np.uint8), caption={"1": "old", "9": "nine"}
    )
    regions = [
        LabelRegion(f"{segmentation.id}:{value}", Prompt.from_box((0, 0, 1, 1)), None, segmentation)
        for value in (1, 2, 3)
    ]
    values = {regions[0].label_id: {"caption": "one"}, regions[1].label_id: {"caption": "two"}}
    assert by_label(values, regions) == {
        segmentation.id: {"caption": {"1": "one", "2": "two", "9": "nine"}}
    }


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"questions": {BRIEF: "x", LABEL: "x"}}, "Two answers would go to the attribute 'x'"),
        ({"questions": {BRIEF: "bounding_box"}}, "'bounding_box' is FiftyOne's own"),
        ({"questions": {BRIEF: "confidence"}}, "'confidence' is FiftyOne's own"),
        ({"questions": {BRIEF: "x"}, "score": "label"}, "'label' is FiftyOne's own"),
        ({"questions": {BRIEF: "reviewed"}}, "'reviewed' is for the verdicts of the review panel"),
        ({"questions": {BRIEF: "caption_reviewed"}}, "'caption_reviewed' is for the verdicts"),
        ({"questions": {BRIEF: "x"}, "score": "prompt_id"}, "'prompt_id' is for the id"),
    ],
)
def test_attributes_that_would_spoil_something_are_refused(options, sentence):
    with pytest.raises(PluginError, match=sentence):
        AttributeMapping(**options)


def test_the_label_and_the_confidence_may_be_written():
    names = AttributeMapping({LABEL: "label"}, score="confidence").names
    assert names == ["label", "confidence"]
