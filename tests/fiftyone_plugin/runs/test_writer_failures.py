"""Tests of what fails while a run writes: it is recorded, and the rest goes on or is kept."""

from __future__ import annotations

import fiftyone.core.odm as foo
import numpy as np
import pytest
from bson import ObjectId

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.labels.fields import Attribute
from fiftyone_plugin.runs import writer as writer_module
from fiftyone_plugin.runs.records import KEPT_FAILURES, list_runs, read_run
from fiftyone_plugin.runs.undo import undo_run
from fiftyone_plugin.runs.writer import RunWriter
from tests.fiftyone_plugin.boxes import (
    CAPTION,
    add_samples,
    caption,
    full_detections,
    ids_by_sample,
)
from tests.fiftyone_plugin.conftest import documents


@pytest.fixture
def dataset(new_dataset):
    return add_samples(new_dataset(), boxes=full_detections, tags=["t"], weather="rain")


def test_failures_are_in_a_field_and_in_the_record_and_the_rest_goes_on(dataset):
    first, second, third = dataset.values("id")
    labels = ids_by_sample(dataset)
    with RunWriter(dataset, "boxes", operator="x", attributes=[CAPTION]) as writer:
        writer.write(first, {labels[first][0]: {"caption": "words"}})
        writer.fail(second, "The image cannot be read.")
        writer.write(third, {labels[third][0]: {"caption": "words"}})
    assert dataset.values("pam_error") == [None, "The image cannot be read.", None]
    assert dataset.get_field("pam_error").description
    assert dataset.count("boxes.detections.caption") == 2
    record = writer.record
    assert (record.counts.samples, record.counts.failed) == (2, 1)
    assert [(f.sample_id, f.reason) for f in record.failures] == [
        (second, "The image cannot be read.")
    ]
    assert list_runs(dataset) == [record]


def test_without_failures_there_is_no_field_for_them(dataset):
    caption(dataset, "a")
    assert not dataset.has_field("pam_error")


def test_a_later_success_clears_the_reason_and_undo_brings_it_back(dataset):
    sample = dataset.first()
    with RunWriter(dataset, "boxes", operator="x") as failed:
        failed.fail(sample.id, "dark")
    key = caption(dataset, "a")
    assert dataset.values("pam_error") == [None] * 3
    undo_run(dataset, key)
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
    assert max(len(failure.reason) for failure in writer.record.failures) == 2000


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
