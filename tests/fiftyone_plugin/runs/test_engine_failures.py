"""Whole runs in which something fails: it is recorded, and the rest goes on or is kept."""

from __future__ import annotations

from contextlib import closing

import fiftyone as fo
import numpy as np
import pytest

from fiftyone_plugin.runs.attribute_mapping import AttributeMapping, Masks
from fiftyone_plugin.runs.engine import Reason, run, told
from fiftyone_plugin.runs.records import list_runs
from fiftyone_plugin.runs.writer import RunWriter
from pam_labeling import Outcome
from tests.fiftyone_plugin.conftest import scene
from tests.fiftyone_plugin.jobs import ANSWERS, CAPTIONS, Recorder, job_on, record_of


def test_a_bad_image_is_recorded_and_the_others_go_on(scene_dataset, annotator, tmp_path):
    dataset = scene_dataset(0, 1, 2, 3)
    missing, damaged, fine, also_fine = dataset
    missing.filepath = str(tmp_path / "gone.png")
    (tmp_path / "damaged.png").write_bytes(b"not an image")
    damaged.filepath = str(tmp_path / "damaged.png")
    missing.save()
    damaged.save()
    record = record_of(job_on(dataset), annotator)
    dataset.reload()
    assert record.counts.failed == 2
    assert {failure.sample_id for failure in record.failures} == {missing.id, damaged.id}
    assert "there is no such file" in dataset[missing.id].pam_error
    assert "not an image" in dataset[damaged.id].pam_error
    for sample in (fine, also_fine):
        found = dataset[sample.id]
        assert found.pam_error is None
        assert all(detection.caption for detection in found.ground_truth.detections)


def test_a_bad_region_is_recorded_and_the_others_of_its_image_go_on(scene_dataset, annotator):
    dataset = scene_dataset(0, masks=False)
    sample = dataset.first()
    sample.ground_truth.detections[1].bounding_box = [1.5, 1.5, 0.1, 0.1]
    sample.save()
    bad = sample.ground_truth.detections[1].id
    record = record_of(job_on(dataset), annotator)
    dataset.reload()
    sample = dataset.first()
    assert sample.pam_error.startswith(f"{bad}: ")
    captions = {one.id: getattr(one, "caption", None) for one in sample.ground_truth.detections}
    assert captions.pop(bad) is None
    assert all(captions.values())
    assert record.counts.regions == len(captions)


def test_a_point_at_nothing_is_recorded_where_its_probability_is_not_kept(
    new_dataset, images, annotator
):
    dataset = new_dataset()
    taken = np.zeros(scene(0).image.shape[:2], bool)
    for item in scene(0).objects:
        taken |= item.mask
    free = np.argwhere(~taken)
    edge = free[np.argmin(free.sum(axis=1))]
    height, width = taken.shape
    point = fo.Keypoint(points=[((edge[1] + 0.5) / width, (edge[0] + 0.5) / height)])
    dataset.add_sample(fo.Sample(filepath=str(images(0)), at=fo.Keypoints(keypoints=[point])))
    record = record_of(job_on(dataset, "at"), annotator)
    assert record.counts.failed == 1
    assert "the model sees no object here" in record.failures[0].reason


def test_all_regions_of_an_image_that_failed_are_named_and_counted(scene_dataset, annotator):
    dataset = scene_dataset(0, masks=False)
    box = [2, 2, 0.1, 0.1]
    sample = dataset.first()
    sample["ground_truth"] = fo.Detections(
        detections=[fo.Detection(label=str(n), bounding_box=box) for n in range(15)]
    )
    sample.save()
    record = record_of(job_on(dataset), annotator)
    (failure,) = record.failures
    assert all(one.id in failure.reason for one in sample.ground_truth.detections)
    assert failure.reason.count("outside the image") == 1
    assert (record.counts.failed, record.counts.failed_regions) == (1, 15)
    assert record.counts.regions == 0
    dataset.reload()
    assert dataset.first().pam_error == failure.reason


def test_an_image_that_cannot_be_read_counts_its_regions(scene_dataset, annotator):
    dataset = scene_dataset(0, 1)
    dataset.set_values("filepath", ["/gone.png", dataset.last().filepath])
    record = record_of(job_on(dataset), annotator)
    regions = len(dataset.first().ground_truth.detections)
    assert (record.counts.failed, record.counts.failed_regions) == (1, regions)


def test_reasons_that_are_too_long_say_how_many_regions_are_left_out():
    differing = [Reason(f"id{n}", f"reason {n} " + "x" * 90) for n in range(15)]
    text = told(differing, 500)
    assert len(text) <= 500
    assert text.startswith("id0: reason 0 ")
    assert text.endswith(f"and {15 - text.count('reason')} more regions failed")
    assert told([Reason("", "no file")], 500) == "no file"
    same = told([Reason(f"id{n}", "why") for n in range(25)], 500)
    assert same == ", ".join(f"id{n}" for n in range(20)) + " and 5 more regions: why"


def test_an_object_beside_its_box_is_told_by_its_label(scene_dataset, annotator, monkeypatch):
    monkeypatch.setattr("pam_labeling.pipeline._misses_box", lambda mask, prompt: True)
    dataset = scene_dataset(0, masks=False)
    first = dataset.first().ground_truth.detections[0]
    record = record_of(job_on(dataset), annotator)
    dataset.reload()
    text = dataset.first().pam_error
    assert f"'{first.label}' {first.id}" in text
    assert "sees an object beside the box, but none in it: draw the box around the object" in text
    assert record.counts.failed_regions == dataset.count("ground_truth.detections")


def test_closing_a_run_keeps_whole_flushes_and_marks_it_as_interrupted(scene_dataset, annotator):
    dataset = scene_dataset(0, 1, 2)
    job = job_on(dataset)
    attributes = ANSWERS.attributes(fo.Detection)
    writer = RunWriter(
        dataset, "ground_truth", operator="caption_regions", attributes=attributes, flush_regions=1
    )
    with closing(run(job, annotator, writer)) as steps:
        for step in steps:
            if step.done:
                break
    dataset.reload()
    (record,) = list_runs(dataset)
    assert record.state == "interrupted"
    captions = dataset.values(CAPTIONS)
    assert all(captions[0])
    assert not any(captions[2] or ())
    again = record_of(job_on(dataset, only="missing"), annotator)
    assert again.state == "finished"
    assert again.counts.regions == sum(map(len, captions)) - record.counts.regions


def test_what_the_database_refuses_ends_the_run_as_interrupted(
    scene_dataset, annotator, monkeypatch
):
    dataset = scene_dataset(0)
    job = job_on(dataset)
    monkeypatch.setattr(RunWriter, "write", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        record_of(job, annotator)
    assert list_runs(dataset)[0].state == "interrupted"


def test_what_goes_wrong_in_the_model_is_recorded_and_the_run_goes_on(scene_dataset, annotator):
    class Failing(Recorder):
        def annotate_many(self, requests):
            for number, outcome in enumerate(super().annotate_many(requests)):
                error = ArithmeticError("not finite")
                failed = Outcome(outcome.request, error=error, key=outcome.key)
                yield failed if number == 0 else outcome

    dataset = scene_dataset(0, 1)
    record = record_of(job_on(dataset), Failing(annotator))
    dataset.reload()
    assert [sample.pam_error for sample in dataset] == ["not finite", None]
    assert record.counts.regions == len(scene(1).objects)


def test_a_mask_that_cannot_be_written_is_recorded(scene_dataset, annotator, tmp_path):
    dataset = scene_dataset(0, masks=False)
    (tmp_path / "taken").write_text("a file")
    answers = AttributeMapping(masks=Masks(tmp_path / "taken"))
    record = record_of(job_on(dataset, answers=answers), annotator)
    assert (record.counts.regions, record.counts.failed) == (0, 1)
    assert dataset.first().ground_truth.detections[0].id in record.failures[0].reason
