"""`label_regions` from Python: classes that fit, suspects, and regions where nothing is seen."""

from __future__ import annotations

import fiftyone as fo
import numpy as np
import pytest
from fiftyone import ViewField as F

from fiftyone_plugin.errors import PluginError
from pam_model.nano.words import SHAPES
from tests.fiftyone_plugin.conftest import ground_truth, scene

FIELD = "ground_truth"
LABELS = "ground_truth.detections"
NAMES = [shape.en for shape in SHAPES]


def test_labels_of_an_own_list_and_a_view_of_suspects(operator, scene_dataset):
    dataset = scene_dataset(0)
    sample = dataset.first()
    wrong = sample.ground_truth.detections[0]
    truth, wrong.label = wrong.label, next(name for name in NAMES if name != wrong.label)
    sample.save()
    record = operator("label_regions")(dataset, field=FIELD, classes=NAMES, saved_view="suspects")
    suspects = dataset.load_saved_view("suspects")
    assert suspects.first().ground_truth.detections[0].id == wrong.id
    found = dataset.first().ground_truth.detections[0]
    assert (found.label, found.pam_label) == (wrong.label, truth)
    assert 0 < found.pam_score <= 1
    with pytest.raises(PluginError, match="already has a saved view 'suspects'"):
        operator("label_regions")(dataset, field=FIELD, classes=NAMES, saved_view="suspects")
    operator("undo_run")(dataset, record["key"])
    assert not dataset.has_saved_view("suspects")
    assert dataset.get_field(f"{LABELS}.pam_label") is None


def boxes_with_nothing(new_dataset, images):
    """A scene with its boxes, and one with a box on plain background between two of its boxes."""
    dataset = new_dataset()
    for seed in (0, 1):
        found = ground_truth(scene(seed), masks=False)[:2]
        if seed == 1:
            found.insert(1, fo.Detection(label="circle", bounding_box=[0, 0, 0.05, 0.05]))
        sample = fo.Sample(filepath=str(images(seed)), **{FIELD: fo.Detections(detections=found)})
        dataset.add_sample(sample)
    return dataset


def test_a_box_on_nothing_is_an_answer_and_leads_the_suspects(operator, new_dataset, images):
    dataset = boxes_with_nothing(new_dataset, images)
    for detection in (samples := list(dataset))[0][FIELD].detections:
        detection.label = "no class of the list"
    samples[0].save()
    record = operator("label_regions")(dataset, field=FIELD, classes=NAMES, saved_view="suspects")
    assert record["counts"]["failed"] == 0
    assert record["counts"]["regions"] == 5
    nothing = dataset.last()[FIELD].detections[1]
    assert (nothing.pam_label, nothing.pam_open_label) == (None, None)
    assert 0 < nothing.pam_object <= 0.5
    seen = dataset.filter_labels(FIELD, F("pam_object") > 0.5)
    assert seen.count(f"{LABELS}.pam_object") == 4
    suspects = dataset.load_saved_view("suspects")
    assert [len(sample[FIELD].detections) for sample in suspects] == [1, 2]
    assert suspects.first()[FIELD].detections[0].id == nothing.id
    # It is not asked for again, except with everything else.
    again = operator("label_regions")(dataset, field=FIELD, classes=NAMES, only="missing")
    assert again["counts"]["regions"] == 0


def test_a_mask_on_nothing_stays_and_gets_no_words(operator, new_dataset, images, caplog):
    dataset = new_dataset()
    ground = fo.Detection(
        label="circle", bounding_box=[0, 0, 0.05, 0.05], mask=np.ones((9, 9), bool)
    )
    sample = fo.Sample(filepath=str(images(1)), **{FIELD: fo.Detections(detections=[ground])})
    dataset.add_sample(sample)
    operator("label_regions")(dataset, field=FIELD, classes=NAMES, saved_view="suspects")
    operator("caption_regions")(dataset, field=FIELD, model="nano")
    (found,) = dataset.first()[FIELD].detections
    assert found.pam_object <= 0.5
    assert (found.label, found.pam_label, found.pam_score) == ("circle", None, 0.0)
    assert found.has_mask
    assert not dataset.count(f"{LABELS}.caption")
    assert dataset.load_saved_view("suspects").count(LABELS) == 1
    # Only the first call named no model.
    assert [text for text in caplog.messages if "no model was named" in text] != []
    assert caplog.text.count("no model was named") == 1


def test_each_operator_says_where_it_sees_no_object(operator, new_dataset, images):
    dataset = boxes_with_nothing(new_dataset, images)
    captions = operator("caption_regions")(dataset, field=FIELD)
    operator("segment_regions")(dataset, field=FIELD)
    labels = operator("label_regions")(dataset, field=FIELD, classes=NAMES)
    nothing = dataset.last()[FIELD].detections[1]
    assert not nothing.has_mask
    assert not nothing.has_attribute("caption")
    assert not dataset.has_field("pam_error")
    # Runs that share only the probability are undone in any order.
    operator("undo_run")(dataset, captions["key"])
    assert dataset.count(f"{LABELS}.pam_object") == 5
    assert not dataset.has_field(f"{LABELS}.caption")
    operator("undo_run")(dataset, labels["key"])
    assert dataset.count(f"{LABELS}.pam_object") == 5
    made = operator("segment_regions")(dataset, field=FIELD, new_field="made")
    assert (made["counts"]["added"], made["counts"]["failed"]) == (4, 1)
    assert "no object here" in dataset.last().pam_error


def test_boxes_on_nothing_lead_the_suspects_of_frames(operator, video_dataset):
    dataset = video_dataset()
    sample = dataset.first()
    frame = sample.frames[2]
    frame.boxes.detections.append(fo.Detection(label="ring", bounding_box=[0, 0, 0.05, 0.05]))
    sample.save()
    operator("label_regions")(dataset, field="frames.boxes", classes=NAMES, saved_view="suspects")
    suspects = dataset.load_saved_view("suspects")
    found = suspects.values("frames.boxes.detections.pam_object", unwind=True)
    assert min(found) <= 0.5


def test_a_label_of_the_list_that_does_not_fit_is_suspected(operator, scene_dataset):
    dataset = scene_dataset(0)
    sample = dataset.first()
    first, second, *_ = sample[FIELD].detections
    first.label, second.label = "Submarine", "not in the list"
    sample.save()
    label = operator("label_regions")
    label(dataset, field=FIELD, classes=["submarine", "rocket"], saved_view="suspects")
    suspects = dataset.load_saved_view("suspects")
    assert suspects.values(f"{LABELS}.id", unwind=True) == [first.id]
    found = dataset.first()[FIELD].detections[0]
    assert found.pam_label is None
    assert found.pam_open_label


def test_only_disagreeing_labels_are_written(operator, scene_dataset):
    dataset = scene_dataset(0)
    sample = dataset.first()
    wrong = sample.ground_truth.detections[0]
    wrong.label = next(name for name in NAMES if name != wrong.label)
    sample.save()
    operator("label_regions")(dataset, field=FIELD, classes=NAMES, only_disagreeing=True)
    labels = {
        one.id: one.pam_label
        for one in dataset.first().ground_truth.detections
        if one.has_field("pam_label")
    }
    assert labels[wrong.id]
    written = [label for label in labels.values() if label is not None]
    right = [one.label for one in sample.ground_truth.detections[1:]]
    assert len(written) < 1 + len(right)


def test_a_class_is_given_only_where_it_fits_unless_it_always_is_to_be(operator, scene_dataset):
    dataset = scene_dataset(0)
    label = operator("label_regions")
    label(dataset, field=FIELD, classes=["thing"])
    assert dataset.distinct(f"{LABELS}.pam_label") == []
    assert dataset.bounds(f"{LABELS}.pam_score")[1] < 0.01
    label(dataset, field=FIELD, classes=["thing"], label_fit=0)
    assert set(dataset.distinct(f"{LABELS}.pam_label")) == {"thing"}


def test_suspects_are_shown_in_all_slices_of_groups(operator, new_dataset, scene_dataset):
    dataset = new_dataset()
    dataset.add_group_field("group", default="left")
    group = fo.Group()
    for name, sample in zip(("left", "right"), scene_dataset(0, 1), strict=True):
        wrong = fo.Detections(detections=[sample.ground_truth.detections[0].copy()])
        wrong.detections[0].label = "nothing of the kind"
        copy = fo.Sample(filepath=sample.filepath, ground_truth=wrong, group=group.element(name))
        dataset.add_sample(copy)
    operator("label_regions")(
        dataset, field=FIELD, classes=NAMES, all_slices=True, saved_view="suspects"
    )
    assert dataset.load_saved_view("suspects").count(LABELS) == 2
