"""Whole runs on real datasets with the embedded model."""

from __future__ import annotations

import fiftyone as fo
import numpy as np
import pytest

from fiftyone_plugin.operators.plans import Plan
from fiftyone_plugin.runs.attribute_mapping import AttributeMapping, Masks
from fiftyone_plugin.runs.engine import RegionJob, run
from fiftyone_plugin.runs.records import list_runs
from fiftyone_plugin.targets.target import resolve
from pam_labeling import Settings
from pam_model import AutomaticMaskOptions, Question, Task
from pam_model.nano.words import SHAPES
from tests.fiftyone_plugin.conftest import documents, scene
from tests.fiftyone_plugin.jobs import (
    ANSWERS,
    BRIEF,
    CAPTIONS,
    Recorder,
    job_on,
    plan_of,
    record_of,
)


def nano_name(seed, index):
    return SHAPES[scene(seed).objects[index].facts.shape].en


def as_polyline(item, size):
    x1, y1, x2, y2 = item.box
    corners = [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
    return [[(x / size[0], y / size[1]) for x, y in corners]]


def as_keypoint(item, size):
    rows, columns = item.mask.nonzero()
    middle = len(rows) // 2
    return [((columns[middle] + 0.5) / size[0], (rows[middle] + 0.5) / size[1])]


def labels_of_every_type(seed):
    """The first object of a scene (or all) as each type of label."""
    drawn = scene(seed)
    height, width = drawn.image.shape[:2]
    first = drawn.objects[0]
    box = [first.box[0] / width, first.box[1] / height]
    box += [(first.box[2] - first.box[0]) / width, (first.box[3] - first.box[1]) / height]
    classes = np.zeros((height, width), np.uint8)
    classes[first.mask] = 7
    points, outline = as_keypoint(first, (width, height)), as_polyline(first, (width, height))
    return {
        "detection": fo.Detection(bounding_box=box),
        "detections": fo.Detections(detections=[fo.Detection(bounding_box=box)]),
        "masks": fo.Detections(detections=[fo.Detection.from_mask(first.mask, label="it")]),
        "polyline": fo.Polyline(points=outline, closed=True),
        "polylines": fo.Polylines(polylines=[fo.Polyline(points=outline, filled=True)]),
        "keypoint": fo.Keypoint(points=points),
        "keypoints": fo.Keypoints(keypoints=[fo.Keypoint(points=points)]),
        "segmentation": fo.Segmentation(mask=classes),
    }


@pytest.fixture
def every_type(new_dataset, images):
    dataset = new_dataset()
    dataset.add_sample(fo.Sample(filepath=str(images(0)), **labels_of_every_type(0)))
    return dataset


@pytest.mark.parametrize("field", sorted(labels_of_every_type(0)))
def test_a_region_of_every_label_type_gets_a_caption(every_type, annotator, field):
    record = record_of(job_on(every_type, field), annotator)
    assert (record.state, record.counts.regions, record.counts.failed) == ("finished", 1, 0)
    every_type.reload()
    label = every_type.first()[field]
    name = getattr(label, "_LABEL_LIST_FIELD", None)
    single = label if name is None else label[name][0]
    caption = single.caption["7"] if field == "segmentation" else single.caption
    assert nano_name(0, 0) in caption


def test_nothing_but_the_attribute_changes(scene_dataset, annotator):
    dataset = scene_dataset(0, 1)
    for sample in dataset.iter_samples(autosave=True):
        sample.tags = ["keep"]
        for number, detection in enumerate(sample.ground_truth.detections):
            detection.tags, detection.index = ["mine"], number
            detection["colour"] = f"own {number}"
    before = documents(dataset)
    record_of(job_on(dataset), annotator)
    after = documents(dataset)
    for sample in after:
        for detection in sample["ground_truth"]["detections"]:
            assert detection.pop("caption")
    assert after == before


def test_all_regions_of_an_image_go_in_one_request(scene_dataset, annotator):
    dataset = scene_dataset(0, 1)
    recorder = Recorder(annotator)
    record_of(job_on(dataset), recorder)
    counts = [len(sample.ground_truth.detections) for sample in dataset]
    found = [len(request.prompts) for request in recorder.requests]
    assert sorted(found) == sorted(counts)  # several threads make them


def test_instance_masks_are_prompts_unless_they_are_to_be_made(scene_dataset, annotator):
    dataset = scene_dataset(0)
    recorder = Recorder(annotator)
    record_of(job_on(dataset), recorder)
    record_of(job_on(dataset, use_masks=False), recorder)
    with_masks, with_boxes = recorder.requests
    assert all(prompt.mask is not None for prompt in with_masks.prompts)
    assert all(prompt.box is not None for prompt in with_boxes.prompts)


def test_progress_grows_to_the_number_of_regions(scene_dataset, annotator):
    dataset = scene_dataset(0, 1, 2)
    job = job_on(dataset)
    steps = list(run(job, annotator, plan_of(job).writer("nano")))
    total = dataset.count("ground_truth.detections")
    assert [step.total for step in steps] == [total] * 4
    assert steps[0].done == 0
    assert [step.done for step in steps] == sorted(step.done for step in steps)
    assert steps[-1].done == total
    assert {step.key for step in steps} == {list_runs(dataset)[0].key}


def test_samples_without_labels_are_no_failures_and_nothing_is_looked_for(
    scene_dataset, new_dataset, images, annotator
):
    dataset = scene_dataset(0)
    dataset.add_sample(fo.Sample(filepath=str(images(1))))
    dataset.add_sample(fo.Sample(filepath=str(images(2)), ground_truth=fo.Detections()))
    recorder = Recorder(annotator)
    record = record_of(job_on(dataset), recorder)
    assert record.counts.failed == 0
    assert sum(bool(request.prompts) for request in recorder.requests) == 1
    assert dataset.count("ground_truth.detections") == len(scene(0).objects)


def test_only_missing_leaves_what_is_there(scene_dataset, annotator):
    dataset = scene_dataset(0)
    sample = dataset.first()
    sample.ground_truth.detections[0]["caption"] = "by hand"
    sample.save()
    record = record_of(job_on(dataset, only="missing"), annotator)
    dataset.reload()
    captions = dataset.values(CAPTIONS)[0]
    assert captions[0] == "by hand"
    assert all(captions)
    assert record.counts.regions == len(captions) - 1


def test_overwriting_replaces_what_is_there(scene_dataset, annotator):
    dataset = scene_dataset(0)
    sample = dataset.first()
    sample.ground_truth.detections[0]["caption"] = "by hand"
    sample.save()
    record_of(job_on(dataset, replace_human_work=True), annotator)
    dataset.reload()
    assert nano_name(0, 0) in dataset.values(CAPTIONS)[0][0]


def test_only_empty_takes_blanks_too(scene_dataset, annotator):
    dataset = scene_dataset(0)
    sample = dataset.first()
    sample.ground_truth.detections[0]["caption"] = " "
    sample.save()
    assert record_of(job_on(dataset, only="missing"), annotator).counts.regions > 0
    assert dataset.values(CAPTIONS)[0][0] == " "
    assert record_of(job_on(dataset, only="empty"), annotator).counts.regions == 1


def test_masks_are_written_onto_detections(scene_dataset, annotator):
    dataset = scene_dataset(0, masks=False)
    record_of(job_on(dataset, answers=AttributeMapping(masks=Masks()), use_masks=False), annotator)
    dataset.reload()
    drawn = scene(0)
    for detection, item in zip(dataset.first().ground_truth.detections, drawn.objects, strict=True):
        x1, y1, x2, y2 = (round(side) for side in item.box)
        truth = item.mask[y1:y2, x1:x2]
        found = detection.mask
        assert found.shape == truth.shape
        assert (found & truth).sum() / (found | truth).sum() > 0.7


def test_new_detections_keep_label_attributes_tags_and_index(every_type, annotator):
    sample = every_type.first()
    polyline = sample.polylines.polylines[0]
    polyline.label, polyline.tags, polyline.index = "mine", ["good"], 3
    polyline["occluded"] = True
    sample.save()
    answers = AttributeMapping(masks=Masks())
    job = job_on(every_type, "polylines", answers, new_field="regions")
    record = record_of(job, annotator)
    every_type.reload()
    (detection,) = every_type.first().regions.detections
    assert record.counts.added == 1
    assert (detection.label, detection.tags, detection.index) == ("mine", ["good"], 3)
    assert detection.occluded is True
    assert detection.mask.any()


def test_classes_of_a_segmentation_become_detections_by_their_names(every_type, annotator):
    every_type.default_mask_targets = {7: "thing"}
    every_type.save()
    job = job_on(every_type, "segmentation", AttributeMapping(masks=Masks()), new_field="regions")
    record_of(job, annotator)
    every_type.reload()
    assert [one.label for one in every_type.first().regions.detections] == ["thing"]


def test_everything_is_found_in_images_and_counted_by_image(scene_dataset, annotator):
    dataset = scene_dataset(0, 1)
    answers = AttributeMapping({Question(Task.LABEL): "label"}, score="confidence", masks=Masks())
    everything = AutomaticMaskOptions(points_per_side=8)
    job = RegionJob(
        "find_regions",
        resolve(dataset, field=None),
        answers,
        {},
        new_field="everything",
        everything=everything,
    )
    writer = Plan(job, Settings(), answers.attributes(fo.Detection)).writer("nano")
    steps = list(run(job, annotator, writer))
    assert [(step.done, step.total) for step in steps] == [(0, 2), (1, 2), (2, 2)]
    dataset.reload()
    found = dataset.first().everything.detections
    assert {one.label for one in found} & {nano_name(0, n) for n in range(len(scene(0).objects))}
    assert all(0 < one.confidence <= 1 and one.mask.any() for one in found)


def test_a_summary_tells_of_all_regions_also_where_only_some_were_captioned(
    scene_dataset, annotator
):
    dataset = scene_dataset(0)
    answers = AttributeMapping({BRIEF: "caption"}, summary="lines")
    first = dataset.first().ground_truth.detections[0]
    record_of(job_on(dataset, answers=answers), annotator)
    record_of(job_on(dataset.select_labels(ids=[first.id]), answers=answers), annotator)
    dataset.reload()
    sample = dataset.first()
    assert len(sample.lines) == len(sample.ground_truth.detections)
    assert sample.lines[0] == f"{first.label}: {sample.ground_truth.detections[0].caption}"


def test_only_what_a_filtered_view_shows_is_captioned(scene_dataset, annotator):
    dataset = scene_dataset(0, 1)
    name = nano_name(0, 0)
    record_of(
        job_on(dataset.filter_labels("ground_truth", fo.ViewField("label") == name)), annotator
    )
    dataset.reload()
    for sample in dataset:
        for detection in sample.ground_truth.detections:
            assert hasattr(detection, "caption") == (detection.label == name)


def test_patches_are_captioned_in_their_samples(scene_dataset, annotator):
    dataset = scene_dataset(0)
    patches = dataset.to_patches("ground_truth")[:2]
    record = record_of(job_on(patches), annotator)
    dataset.reload()
    assert record.counts.regions == 2
    assert sum(caption is not None for caption in dataset.values(CAPTIONS)[0]) == 2


def test_all_slices_of_groups_are_captioned(new_dataset, scene_dataset, images, annotator):
    dataset = new_dataset()
    dataset.add_group_field("group", default="left")
    group = fo.Group()
    source = scene_dataset(0, 1)
    for name, sample in zip(("left", "right"), source, strict=True):
        copy = fo.Sample(filepath=sample.filepath, ground_truth=sample.ground_truth.copy())
        copy["group"] = group.element(name)
        dataset.add_sample(copy)
    target = resolve(dataset, field="ground_truth", slices="all")
    record = record_of(RegionJob("caption_regions", target, ANSWERS, {}), annotator)
    assert record.counts.regions == source.count("ground_truth.detections")
    flat = dataset.select_group_slices(["left", "right"])
    assert all(all(captions) for captions in flat.values(CAPTIONS))


def test_labels_of_video_frames_are_captioned(new_dataset, images, annotator):
    dataset = new_dataset()
    video = fo.Sample(filepath="/videos/it.mp4")
    for number in (1, 2):
        boxes = labels_of_every_type(number)["detections"]
        video.frames[number] = fo.Frame(filepath=str(images(number)), det=boxes)
    dataset.add_sample(video)
    answers = AttributeMapping({BRIEF: "caption"}, summary="lines")
    record = record_of(job_on(dataset, "frames.det", answers), annotator)
    assert (record.counts.regions, record.counts.failed) == (2, 0)
    dataset.reload()
    for number, frame in dataset.first().frames.items():
        caption = frame.det.detections[0].caption
        assert nano_name(number, 0) in caption
        assert frame.lines == [caption]
    job = job_on(dataset, "frames.det", AttributeMapping(masks=Masks()), new_field="regions")
    assert record_of(job, annotator).counts.added == 2
    dataset.reload()
    assert all(frame.regions.detections for frame in dataset.first().frames.values())
