"""Filled answers stay: `only="missing"` and `only="empty"` on real datasets."""

from __future__ import annotations

import fiftyone as fo
import numpy as np
import pytest
from fiftyone import ViewField as F

from fiftyone_plugin.runs.records import list_runs
from fiftyone_plugin.targets.missing import AnswerGroup, OverwritePolicy
from fiftyone_plugin.targets.target import TargetCounts, resolve
from pam_labeling import Request
from pam_model.nano.words import SHAPES
from tests.fiftyone_plugin.conftest import scene

FIELD = "ground_truth"
LABELS = "ground_truth.detections"
NAMES = [shape.en for shape in SHAPES]


CAPTIONED = OverwritePolicy("missing", (AnswerGroup(("caption",), ("caption",)),))


def fill(dataset, name, value, kind=fo.StringField):
    """The same value onto all labels."""
    if dataset.get_field(f"{LABELS}.{name}") is None:
        dataset.add_sample_field(f"{LABELS}.{name}", kind)
    ids = dataset.values(f"{LABELS}.id", unwind=True)
    dataset.set_label_values(f"{LABELS}.{name}", dict.fromkeys(ids, value))


def values(dataset, name):
    dataset.reload()
    return dataset.values(f"{LABELS}.{name}", unwind=True)


@pytest.mark.parametrize("only", ["missing", "empty"])
def test_an_answer_that_is_there_stays_where_another_is_open(operator, scene_dataset, only):
    dataset = scene_dataset(0)
    fill(dataset, "caption", "mine")
    record = operator("caption_regions")(dataset, field=FIELD, detailed="story", only=only)
    assert set(values(dataset, "caption")) == {"mine"}
    assert all(values(dataset, "story"))
    assert record["counts"]["regions"] == len(scene(0).objects)


def test_blank_answers_are_open_for_empty_only(operator, scene_dataset):
    dataset = scene_dataset(0)
    fill(dataset, "caption", " ")
    caption = operator("caption_regions")
    caption(dataset, field=FIELD, detailed="story", only="missing")
    assert set(values(dataset, "caption")) == {" "}
    fill(dataset, "story", "mine")
    caption(dataset, field=FIELD, detailed="story", only="empty")
    assert all(text.strip() for text in values(dataset, "caption"))
    assert set(values(dataset, "story")) == {"mine"}


def test_what_no_region_needs_is_not_asked_for(operator, scene_dataset, monkeypatch):
    asked = []

    def recorded(image, prompts, questions, vocabulary, **options):
        asked.append([question.task.value for question in questions])
        return Request(image, prompts, questions, vocabulary, **options)

    monkeypatch.setattr("fiftyone_plugin.runs.attribute_mapping.Request", recorded)
    dataset = scene_dataset(0)
    fill(dataset, "caption", "mine")
    operator("caption_regions")(dataset, field=FIELD, detailed="story", only="missing")
    assert asked == [["detailed"]]


@pytest.mark.parametrize("only", ["missing", "empty"])
def test_a_mask_in_a_file_is_a_mask(operator, scene_dataset, tmp_path, only):
    dataset = scene_dataset(0)
    sample = dataset.first()
    with_file, without = sample.ground_truth.detections[0], sample.ground_truth.detections[-1]
    with_file.export_mask(str(tmp_path / "mask.png"), update=True)
    without.mask = None
    sample.save()
    before = [one.mask_path for one in sample.ground_truth.detections]
    segment = operator("segment_regions")
    record = segment(dataset, field=FIELD, only=only, score="iou")
    assert record["counts"]["regions"] == 1
    after = dataset.first().ground_truth.detections
    assert [one.mask_path for one in after] == before
    assert after[0].mask is None
    assert after[-1].mask.any()
    assert [bool(iou) for iou in values(dataset, "iou")] == [one is after[-1] for one in after]
    folder = str(tmp_path / "more")
    record = segment(dataset, field=FIELD, only=only, mask="mask_path", mask_folder=folder)
    assert record["counts"]["regions"] == 0


@pytest.mark.parametrize(
    "hide",
    [
        lambda dataset: dataset.exclude_fields(f"{LABELS}.caption"),
        lambda dataset: dataset.select_fields(f"{LABELS}.label"),
        lambda dataset: dataset.set_field(f"{LABELS}.caption", None),
        lambda dataset: dataset.exclude_fields(f"{LABELS}.caption").to_patches(FIELD),
    ],
)
def test_what_a_view_hides_is_filled_all_the_same(operator, scene_dataset, hide):
    dataset = scene_dataset(0)
    fill(dataset, "caption", "mine")
    first = dataset.values(f"{LABELS}.id", unwind=True)[0]
    dataset.set_label_values(f"{LABELS}.caption", {first: None})
    record = operator("caption_regions")(hide(dataset), field=FIELD, only="missing")
    assert record["counts"]["regions"] == 1
    found = values(dataset, "caption")
    assert found[0] not in (None, "mine")
    assert set(found[1:]) == {"mine"}


def test_patches_older_than_the_captions_do_not_hide_them(operator, scene_dataset):
    dataset = scene_dataset(0, 1)
    patches = dataset.to_patches(FIELD)
    fill(dataset, "caption", "mine")
    first = dataset.values(f"{LABELS}.id", unwind=True)[0]
    dataset.set_label_values(f"{LABELS}.caption", {first: None})
    target = resolve(patches, field=FIELD, policy=CAPTIONED)
    assert target.count() == TargetCounts(1, 1)
    operator("caption_regions")(patches, field=FIELD, only="missing")
    assert values(dataset, "caption").count("mine") == dataset.count(LABELS) - 1


def test_frames_are_filled_by_what_the_dataset_holds(new_dataset, images):
    dataset = new_dataset()
    video = fo.Sample(filepath="/videos/it.mp4")
    for number in (1, 2):
        box = fo.Detection(bounding_box=[0.1, 0.1, 0.5, 0.5], caption="mine")
        boxes = fo.Detections(detections=[box, fo.Detection(bounding_box=[0.1, 0.1, 0.5, 0.5])])
        video.frames[number] = fo.Frame(filepath=str(images(number)), det=boxes)
    dataset.add_sample(video, dynamic=True)
    hidden = dataset.exclude_fields("frames.det.detections.caption")
    assert resolve(hidden, field="frames.det", policy=CAPTIONED).count() == TargetCounts(2, 2)
    frames = dataset.to_frames().exclude_fields("det.detections.caption")
    assert resolve(frames, field="det", policy=CAPTIONED).count() == TargetCounts(2, 2)


def test_a_class_by_hand_gets_no_score_of_another(operator, scene_dataset):
    dataset = scene_dataset(0)
    fill(dataset, "pam_label", "mine")
    record = operator("label_regions")(dataset, field=FIELD, classes=NAMES, only="missing")
    assert record["counts"]["regions"] == 0
    assert set(values(dataset, "pam_label")) == {"mine"}


def test_regions_that_no_class_is_sure_enough_for_count_as_done(operator, scene_dataset):
    dataset = scene_dataset(0)
    label = operator("label_regions")
    label(dataset, field=FIELD, classes=NAMES, label_fit=1.0)
    assert None in values(dataset, "pam_label")
    again = label(dataset, field=FIELD, classes=NAMES, label_fit=1.0, only="missing")
    assert again["counts"]["regions"] == 0


def test_regions_that_agree_count_as_done(operator, scene_dataset):
    dataset = scene_dataset(0)
    options = {"field": FIELD, "classes": NAMES, "only_disagreeing": True}
    label = operator("label_regions")
    assert label(dataset, **options)["counts"]["regions"] == len(scene(0).objects)
    assert None in values(dataset, "pam_label")
    assert all(values(dataset, "pam_score"))
    assert label(dataset, **options, only="missing")["counts"]["regions"] == 0


def test_classes_of_a_segmentation_are_filled_one_by_one(operator, new_dataset, images):
    dataset = new_dataset()
    drawn = scene(0)
    mask = np.zeros(drawn.image.shape[:2], np.uint8)
    for number, item in enumerate(drawn.objects[:2], start=1):
        mask[item.mask] = number
    seg = fo.Segmentation(mask=mask, caption={"1": "mine"})
    dataset.add_sample(fo.Sample(filepath=str(images(0)), seg=seg))
    operator("caption_regions")(dataset, field="seg", detailed="story", only="missing")
    found = dataset.first().seg
    assert found.caption["1"] == "mine"
    assert found.caption["2"]
    assert set(found.story) == {"1", "2"}


@pytest.mark.parametrize("only", ["missing", "empty"])
def test_a_view_of_everything_gives_what_the_dataset_gives(scene_dataset, only):
    dataset = scene_dataset(0, 1, 2)
    fill(dataset, "caption", "x")
    ids = dataset.values(f"{LABELS}.id", unwind=True)
    dataset.set_label_values(f"{LABELS}.caption", {ids[0]: None, ids[1]: " ", ids[-1]: None})
    policy = OverwritePolicy(only, CAPTIONED.groups)
    found = [
        [(work.sample_id, work.label_ids) for chunk in target.chunks() for work in chunk]
        for target in (
            resolve(collection, field=FIELD, policy=policy)
            for collection in (dataset, dataset.view(), dataset.limit(3), dataset.to_patches(FIELD))
        )
    ]
    assert found[0] == found[1] == found[2] == found[3]
    assert sum(len(labels) for _, labels in found[0]) == (2 if only == "missing" else 3)


def test_a_filter_and_what_is_filled_both_hold(scene_dataset):
    dataset = scene_dataset(0, 1)
    fill(dataset, "caption", None)
    label = dataset.first().ground_truth.detections[0].label
    view = dataset.filter_labels(FIELD, F("label") == label)
    assert resolve(view, field=FIELD, policy=CAPTIONED).count().regions == view.count(LABELS)
    fill(dataset, "caption", "x")
    assert resolve(view, field=FIELD, policy=CAPTIONED).count() == TargetCounts(0, 0)
    assert list_runs(dataset) == []
