"""Tests of writing a run: what changes, what does not, and what a kill leaves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import fiftyone as fo
import fiftyone.core.odm as foo
import numpy as np
import pytest
from bson import ObjectId

from fiftyone_plugin import writer as writer_module
from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.fields import Attribute
from fiftyone_plugin.runs import KEPT_FAILURES, list_runs, read_run
from fiftyone_plugin.undo import undo_run
from fiftyone_plugin.writer import RunWriter

CAPTION = Attribute("caption", "text", "What the region is.")
ROOT = Path(__file__).resolve().parents[2]


def detections(number=2):
    return fo.Detections(
        detections=[
            fo.Detection(
                label=f"thing {index}",
                bounding_box=[0.1, 0.1, 0.5, 0.5],
                tags=["mine"],
                index=index,
                mood="good",
                mask=np.eye(4, dtype=bool),
            )
            for index in range(number)
        ]
    )


@pytest.fixture
def dataset(new_dataset):
    dataset = new_dataset()
    samples = [
        fo.Sample(filepath=f"/nowhere/{number}.png", tags=["t"], boxes=detections(), weather="rain")
        for number in range(3)
    ]
    dataset.add_samples(samples)
    return dataset


def documents(dataset):
    """Everything that the database has about the samples, but when it changed last."""
    found = dataset._sample_collection.find().sort("_id")
    return [{k: v for k, v in each.items() if k != "last_modified_at"} for each in found]


def ids_by_sample(dataset):
    return dict(zip(*dataset.values(["id", "boxes.detections.id"]), strict=True))


def caption_all(dataset, field="boxes", text="a thing", attribute=CAPTION, **options):
    with RunWriter(
        dataset, field, operator="caption_regions", attributes=[attribute], **options
    ) as writer:
        for sample in dataset:
            labels = sample[field].detections
            writer.write(sample.id, {label.id: {attribute.name: text} for label in labels})
    return writer.record


def test_sets_attributes_and_nothing_else(dataset):
    before = documents(dataset)
    record = caption_all(dataset)
    after = documents(dataset)
    for sample in after:
        for label in sample["boxes"]["detections"]:
            assert label.pop("caption") == "a thing"
    assert after == before
    assert [list(sample) for sample in after] == [list(sample) for sample in before]
    assert (record.state, record.counts.samples, record.counts.regions) == ("finished", 3, 6)


def test_values_can_be_filtered_and_are_seen_by_samples_in_memory(dataset):
    held = dataset.first()
    caption_all(dataset)
    assert held.boxes.detections[0].caption == "a thing"
    view = dataset.filter_labels("boxes", fo.ViewField("caption") == "a thing")
    assert view.count("boxes.detections") == 6


def test_tells_others_that_documents_changed(dataset):
    before = max(dataset.values("last_modified_at"))
    caption_all(dataset)
    assert min(dataset.values("last_modified_at")) > before


def test_writes_through_filtered_views_and_keeps_the_other_labels(dataset):
    view = dataset.filter_labels("boxes", fo.ViewField("label") == "thing 1")
    assert caption_all(view).counts.regions == 3
    assert dataset.count("boxes.detections") == 6
    assert dataset.values("boxes.detections.caption") == [[None, "a thing"]] * 3


@pytest.mark.parametrize(
    ("labels", "list_name"),
    [
        (fo.Detection(label="a", bounding_box=[0, 0, 1, 1]), None),
        (fo.Segmentation(mask_path="/nowhere.png"), None),
        (fo.Polylines(polylines=[fo.Polyline(points=[[(0, 0), (1, 1)]])]), "polylines"),
        (fo.Keypoints(keypoints=[fo.Keypoint(points=[(0.5, 0.5)])]), "keypoints"),
    ],
)
def test_writes_onto_every_type_of_label(new_dataset, labels, list_name):
    dataset = new_dataset()
    dataset.add_sample(fo.Sample(filepath="/nowhere.png", x=labels))
    before = documents(dataset)
    sample = dataset.first()

    def label():
        return sample.x[list_name][0] if list_name else sample.x

    with RunWriter(dataset, "x", operator="caption_regions", attributes=[CAPTION]) as writer:
        writer.write(sample.id, {label().id: {"caption": "words"}})
    assert label().caption == "words"
    undo_run(dataset, writer.record.key)
    assert documents(dataset) == before


def test_writes_onto_frames(new_dataset):
    dataset = new_dataset()
    sample = fo.Sample(filepath="/nowhere.mp4")
    sample.frames[1] = fo.Frame(boxes=detections())
    dataset.add_sample(sample)
    frame = dataset.first().frames[1]
    label = frame.boxes.detections[0].id
    before = dataset._frame_collection.find_one()
    with RunWriter(dataset, "frames.boxes", operator="x", attributes=[CAPTION]) as writer:
        writer.write(frame.id, {label: {"caption": "words"}})
        writer.fail(frame.id, "blurred")
    assert dataset.values("frames.boxes.detections.caption") == [[["words", None]]]
    assert dataset.values("frames.pam_error") == [["blurred"]]
    undo_run(dataset, writer.record.key)
    after = dataset._frame_collection.find_one()
    assert {**after, "last_modified_at": 0} == {**before, "last_modified_at": 0}


def test_views_of_patches_show_what_was_written(dataset):
    patches = dataset.to_patches("boxes")
    with RunWriter(patches, "boxes", operator="x", attributes=[CAPTION]) as writer:
        for patch in patches:
            writer.write(patch.sample_id, {patch.boxes.id: {"caption": "words"}})
    assert dataset.values("boxes.detections.caption") == [["words"] * 2] * 3
    assert patches.values("boxes.caption") == ["words"] * 6


def test_masks_are_stored_as_fiftyone_stores_them(dataset):
    mask = np.zeros((5, 7), dtype=bool)
    mask[1:3] = True
    label = dataset.first().boxes.detections[0].id
    with RunWriter(dataset, "boxes", operator="x", attributes=[Attribute("mask")]) as writer:
        writer.write(dataset.first().id, {label: {"mask": mask}})
    np.testing.assert_array_equal(dataset.first().boxes.detections[0].mask, mask)


def test_values_of_all_kinds_and_none(dataset):
    kinds = {
        "score": ("number", np.float32(0.5)),
        "count": ("count", np.int64(3)),
        "sure": ("flag", np.bool_(True)),
        "words": ("texts", ["red", "round"]),
        "by_class": ("record", {"1": "red"}),
        "caption": ("text", None),
    }
    sample = dataset.first()
    label = sample.boxes.detections[0]
    attributes = [Attribute(name, kind) for name, (kind, _) in kinds.items()]
    with RunWriter(dataset, "boxes", operator="x", attributes=attributes) as writer:
        writer.write(sample.id, {label.id: {name: value for name, (_, value) in kinds.items()}})
    for name, (_, value) in kinds.items():
        assert sample.boxes.detections[0][name] == value


def test_refuses_values_that_do_not_fit(dataset):
    sample = dataset.first()
    label = sample.boxes.detections[0].id
    with RunWriter(dataset, "boxes", operator="x", attributes=[CAPTION]) as writer:
        with pytest.raises(PluginError, match="7 does not fit"):
            writer.write(sample.id, {label: {"caption": 7}})
        with pytest.raises(PluginError, match="was not declared"):
            writer.write(sample.id, {label: {"other": "x"}})


def test_adds_labels_behind_those_that_are_there(dataset):
    before = documents(dataset)
    sample = dataset.first()
    with RunWriter(dataset, "boxes", operator="find_regions", create=fo.Detections) as writer:
        writer.add_labels(sample.id, detections(1).detections)
    assert writer.record.counts.added == 1
    assert [label.label for label in sample.boxes.detections] == ["thing 0", "thing 1", "thing 0"]
    undo_run(dataset, writer.record.key)
    assert documents(dataset) == before


@pytest.mark.parametrize("null", [False, True])
def test_adds_labels_to_a_field_that_it_makes(dataset, null):
    if null:
        dataset.add_sample_field("found", fo.EmbeddedDocumentField, embedded_doc_type=fo.Detections)
        dataset._sample_collection.update_many({}, {"$set": {"found": None}})
    before = documents(dataset)
    with RunWriter(
        dataset,
        "found",
        operator="find_regions",
        create=fo.Detections,
        description="By PAM.",
        attributes=[CAPTION],
    ) as writer:
        for sample in dataset:
            writer.add_labels(sample.id, detections(1).detections)
            writer.add_labels(sample.id, detections(1).detections)
    assert dataset.count("found.detections") == 6
    undo_run(dataset, writer.record.key)
    assert documents(dataset) == before
    assert dataset.has_field("found") == null


def test_a_field_of_single_labels_takes_no_more(new_dataset):
    dataset = new_dataset()
    label = fo.Detection(label="a", bounding_box=[0, 0, 1, 1])
    dataset.add_sample(fo.Sample(filepath="/nowhere.png", x=label))
    with (
        RunWriter(dataset, "x", operator="find_regions") as writer,
        pytest.raises(PluginError, match="holds one Detection for each sample"),
    ):
        writer.add_labels(dataset.first().id, [label.copy()])


def test_fields_of_samples_are_written_and_undone(dataset):
    before = documents(dataset)
    summary = Attribute("summary", "text", "In short.")
    with RunWriter(dataset, "boxes", operator="x", sample_attributes=[summary]) as writer:
        writer.write_sample(dataset.first().id, {"summary": "two things"})
    assert dataset.values("summary") == ["two things", None, None]
    undo_run(dataset, writer.record.key)
    assert documents(dataset) == before
    assert not dataset.has_field("summary")


def test_failures_are_in_a_field_and_in_the_record_and_the_rest_goes_on(dataset):
    first, second, third = dataset.values("id")
    labels = ids_by_sample(dataset)
    with RunWriter(dataset, "boxes", operator="x", attributes=[CAPTION]) as writer:
        writer.write(first, {labels[first][0]: {"caption": "words"}})
        writer.fail(second, "The picture cannot be read.")
        writer.write(third, {labels[third][0]: {"caption": "words"}})
    assert dataset.values("pam_error") == [None, "The picture cannot be read.", None]
    assert dataset.get_field("pam_error").description
    assert dataset.count("boxes.detections.caption") == 2
    record = writer.record
    assert (record.counts.samples, record.counts.failed) == (2, 1)
    assert [(f.sample_id, f.reason) for f in record.failures] == [
        (second, "The picture cannot be read.")
    ]
    assert list_runs(dataset) == [record]


def test_without_failures_there_is_no_field_for_them(dataset):
    caption_all(dataset)
    assert not dataset.has_field("pam_error")


def test_a_later_success_clears_the_reason_and_undo_brings_it_back(dataset):
    sample = dataset.first()
    with RunWriter(dataset, "boxes", operator="x") as failed:
        failed.fail(sample.id, "dark")
    record = caption_all(dataset)
    assert dataset.values("pam_error") == [None] * 3
    undo_run(dataset, record.key)
    assert dataset.values("pam_error") == ["dark", None, None]


def test_a_failure_stays_when_the_same_run_writes_something_too(dataset):
    sample = dataset.first()
    label = sample.boxes.detections[0].id
    with RunWriter(dataset, "boxes", operator="x", attributes=[CAPTION]) as writer:
        writer.fail(sample.id, "one region of two")
        writer.flush()
        writer.write(sample.id, {label: {"caption": "the other"}})
    assert sample.pam_error == "one region of two"
    assert writer.record.counts.failed == 1


def test_the_record_keeps_some_failures_and_counts_all(dataset):
    sample = dataset.first().id
    with RunWriter(dataset, "boxes", operator="x") as writer:
        for _ in range(KEPT_FAILURES + 5):
            writer.fail(str(ObjectId()), "x" * 5000)
        writer.fail(sample, "y")
    assert writer.record.counts.failed == KEPT_FAILURES + 6
    assert len(writer.record.failures) == KEPT_FAILURES
    assert max(len(failure.reason) for failure in writer.record.failures) == 1000


def test_samples_and_labels_that_are_deleted_meanwhile_are_counted(dataset):
    first, second, _ = dataset.values("id")
    labels = ids_by_sample(dataset)
    with RunWriter(dataset, "boxes", operator="x", attributes=[CAPTION]) as writer:
        writer.write(first, {label: {"caption": "words"} for label in labels[first]})
        writer.write(second, {label: {"caption": "words"} for label in labels[second]})
        dataset.delete_samples(first)
        dataset.delete_labels(ids=labels[second][0])
    assert (writer.record.counts.regions, writer.record.counts.gone) == (1, 1)
    assert [failure.sample_id for failure in writer.record.failures] == [first]
    assert "was deleted while" in writer.record.failures[0].reason
    assert len(dataset) == 2


@pytest.mark.parametrize("side", [2400, 4200])  # the two are too much for it, or each alone
def test_a_sample_that_would_become_too_large_fails_and_the_rest_goes_on(dataset, side):
    first, second, _ = dataset.values("id")
    labels = ids_by_sample(dataset)
    noise = np.random.default_rng(0).integers(0, 255, (4200, side), dtype=np.uint8)
    with RunWriter(dataset, "boxes", operator="x", attributes=[Attribute("mask")]) as writer:
        writer.write(first, {labels[first][0]: {"mask": noise}})
    before = dataset._sample_collection.find_one({"_id": ObjectId(first)})
    with RunWriter(dataset, "boxes", operator="x", attributes=[Attribute("mask")]) as writer:
        writer.write(first, {labels[first][1]: {"mask": noise}})
        writer.write(second, {labels[second][0]: {"mask": np.ones((2, 2), dtype=bool)}})
    assert "16 MB" in dataset[first].pam_error
    after = dataset._sample_collection.find_one({"_id": ObjectId(first)})
    assert after["boxes"] == before["boxes"]
    assert dataset[second].boxes.detections[0].mask.shape == (2, 2)
    assert writer.record.counts.failed == 1
    undo_run(dataset, writer.record.key)
    assert documents(dataset)[0] == {k: v for k, v in before.items() if k != "last_modified_at"}


def test_a_refusal_of_the_database_is_told(dataset):
    name = dataset._sample_collection_name
    foo.get_db_conn().command("collMod", name, validator={"weather": "sun"})
    label = dataset.first().boxes.detections[0].id

    def write():
        with RunWriter(dataset, "boxes", operator="x", attributes=[CAPTION]) as writer:
            writer.write(dataset.first().id, {label: {"caption": "words"}})

    with pytest.raises(PluginError, match="The database refused to write: Document failed"):
        write()


def test_an_exception_leaves_what_was_written_and_an_interrupted_run(dataset):
    sample = dataset.first()
    label = sample.boxes.detections[0].id

    def engine():
        with RunWriter(dataset, "boxes", operator="x", attributes=[CAPTION]) as writer:
            writer.write(sample.id, {label: {"caption": "words"}})
            yield writer

    running = engine()
    writer = next(running)
    assert list_runs(dataset)[0].state == "running"
    running.close()
    assert sample.boxes.detections[0].caption == "words"
    assert read_run(dataset, writer.record.key).state == "interrupted"
    assert read_run(dataset, writer.record.key).finished is not None


def test_a_run_whose_flush_failed_does_not_write_on(dataset, monkeypatch):
    def fail(*_):
        raise RuntimeError("the database is gone")

    def engine():
        with RunWriter(dataset, "boxes", operator="x", attributes=[CAPTION]) as writer:
            label = dataset.first().boxes.detections[0].id
            writer.write(dataset.first().id, {label: {"caption": "words"}})
            monkeypatch.setattr(writer_module, "flush", fail)
            writer.flush()

    with pytest.raises(RuntimeError, match="is gone"):
        engine()
    assert dataset.count("boxes.detections.caption") == 0


def test_flushes_by_regions_bytes_and_time(dataset, monkeypatch):
    sample = dataset.first()
    label = sample.boxes.detections[0].id

    def written(**options):
        with RunWriter(dataset, "boxes", operator="x", attributes=[CAPTION], **options) as writer:
            text = str(time.monotonic())
            writer.write(sample.id, {label: {"caption": text}})
            return dataset.values("boxes.detections.caption")[0][0] == text

    assert not written()
    assert written(flush_regions=1)
    assert written(flush_seconds=0)
    monkeypatch.setattr(writer_module, "_FLUSH_BYTES", 3)
    assert written()


def test_memory_is_a_flush_not_the_dataset(dataset):
    ids = ids_by_sample(dataset).items()
    sizes = set()
    with RunWriter(dataset, "boxes", operator="x", attributes=[CAPTION], flush_regions=4) as writer:
        for _ in range(50):
            for sample, labels in ids:
                writer.write(sample, {label: {"caption": "words"} for label in labels})
                sizes.add(len(writer._pending))
    assert max(sizes) <= 2


CHILD = """
import os, sys, time
import fiftyone as fo
from fiftyone_plugin.fields import Attribute
from fiftyone_plugin.writer import RunWriter

dataset = fo.load_dataset(sys.argv[1])
key, resume, pause = sys.argv[2], sys.argv[3] == "resume", float(sys.argv[4])
with RunWriter(
    dataset, "boxes", operator="caption_regions", attributes=[Attribute("caption")], key=key,
    resume=resume, flush_regions=2,
) as writer:
    for sample in dataset.iter_samples():
        done = sample.to_dict()["boxes"]["detections"][0].get("caption") == "new"
        if not done:
            labels = sample.boxes.detections
            writer.write(sample.id, {label.id: {"caption": "new"} for label in labels})
        print(sample.id, flush=True)
        time.sleep(pause)
"""


def start(dataset, key, resume, pause):
    command = [sys.executable, "-c", CHILD, dataset.name, key, resume, str(pause)]
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'model'}", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, cwd=ROOT)


def test_a_killed_run_is_consistent_goes_on_and_can_be_undone(new_dataset):
    dataset = new_dataset()
    dataset.persistent = True  # or the next process that connects deletes it
    dataset.add_samples(
        fo.Sample(filepath=f"/nowhere/{number}.png", boxes=detections()) for number in range(40)
    )
    dataset.add_sample_field("boxes.detections.caption", fo.StringField)
    with_old = dataset.first()
    with_old.boxes.detections[0]["caption"] = "old"
    with_old.save()
    before = documents(dataset)

    with start(dataset, "captions", "new", 0.05) as child:
        for _ in range(8):
            child.stdout.readline()
        os.kill(child.pid, signal.SIGKILL)

    written = dataset.count_values("boxes.detections.caption").get("new", 0)
    assert 0 < written < 80
    for sample in documents(dataset):  # all of a sample or nothing
        captions = {label.get("caption") for label in sample["boxes"]["detections"]}
        assert captions in ({"new"}, {None}, {"old", None})
    assert read_run(dataset, "captions").state == "interrupted"

    with start(dataset, "captions", "resume", 0) as child:
        child.communicate()
    assert child.returncode == 0
    assert dataset.count_values("boxes.detections.caption") == {"new": 80}
    record = read_run(dataset, "captions")
    assert record.state == "finished"
    assert record.counts.regions >= 80 - 2

    undo_run(dataset, "captions")
    assert documents(dataset) == before


def test_only_interrupted_runs_go_on_and_only_with_the_same_work(dataset):
    record = caption_all(dataset)
    with (
        pytest.raises(PluginError, match="is finished: start another"),
        RunWriter(dataset, "boxes", operator="x", key=record.key, resume=True),
    ):
        pass
    with (
        pytest.raises(KeyboardInterrupt),
        RunWriter(dataset, "boxes", operator="x", key="mine"),
    ):
        raise KeyboardInterrupt
    with (
        pytest.raises(PluginError, match="was x on 'boxes', not y on 'boxes'"),
        RunWriter(dataset, "boxes", operator="y", key="mine", resume=True),
    ):
        pass
    with RunWriter(dataset, "boxes", operator="x", key="mine", resume=True) as writer:
        pass
    assert writer.record.state == "finished"
