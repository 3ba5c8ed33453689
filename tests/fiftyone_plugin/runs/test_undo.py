"""Tests of undo: what comes back, what stays, and runs over each other."""

from __future__ import annotations

import fiftyone as fo
import fiftyone.core.odm as foo
import numpy as np
import pytest

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.labels.fields import Attribute
from fiftyone_plugin.runs import journal
from fiftyone_plugin.runs.records import list_runs, read_run
from fiftyone_plugin.runs.undo import undo_run
from fiftyone_plugin.runs.writer import RunWriter
from tests.fiftyone_plugin.boxes import CAPTION, add_samples, caption, detections, find, state
from tests.fiftyone_plugin.conftest import documents


@pytest.fixture
def dataset(new_dataset):
    return add_samples(new_dataset())


def captions(dataset):
    return dataset.values("boxes.detections.caption", unwind=True)


def test_undo_restores_documents_and_schema(dataset):
    before = state(dataset)
    record = undo_run(dataset, caption(dataset, "a"))
    assert state(dataset) == before
    assert record.state == "undone"
    assert record.undone is not None
    assert record.undone.restored == 6
    assert record.undone.undeclared == ("boxes.detections.caption",)
    assert list_runs(dataset) == [record]


def test_undo_restores_old_values_nulls_and_masks(dataset):
    dataset.add_sample_field("boxes.detections.caption", fo.StringField)
    sample = dataset.first()
    sample.boxes.detections[0]["caption"] = "mine"
    sample.boxes.detections[0].mask = np.eye(20, dtype=bool)
    sample.boxes.detections[1]["caption"] = None
    sample.save()
    dataset._sample_collection.update_one({}, {"$set": {"boxes.detections.1.caption": None}})
    before = state(dataset)
    attributes = [CAPTION, Attribute("mask"), Attribute("label")]
    with RunWriter(dataset, "boxes", operator="x", attributes=attributes) as writer:
        for label in sample.boxes.detections:
            mask = np.random.default_rng(0).random((30, 30)) > 0.5
            values = {"caption": "new", "mask": mask, "label": "new"}
            writer.write(sample.id, {label.id: values})
    assert state(dataset) != before
    undo_run(dataset, writer.record.key)
    assert state(dataset) == before


def test_undo_is_refused_twice_and_while_the_run_goes_on(dataset):
    key = caption(dataset, "a")
    undo_run(dataset, key)
    with pytest.raises(PluginError, match="is undone already"):
        undo_run(dataset, key)
    other = caption(dataset, "b")
    with RunWriter(dataset, "boxes", operator="x", attributes=[CAPTION], key="now"):
        with pytest.raises(PluginError, match="'now' is still running"):
            undo_run(dataset, "now")
        with pytest.raises(PluginError, match="'now' is writing to the same fields"):
            undo_run(dataset, other)


def test_what_a_person_edited_since_stays_and_is_counted(dataset):
    key = caption(dataset, "a")
    sample = dataset.first()
    sample.boxes.detections[0].caption = "better words"
    sample.boxes.detections[1].mood = "bad"
    sample.tags.append("seen")
    sample.save()
    undone = undo_run(dataset, key).undone
    assert undone is not None
    assert (undone.kept, undone.restored, undone.undeclared) == (1, 5, ())
    assert captions(dataset) == ["better words", *[None] * 5]
    assert sample.boxes.detections[1].mood == "bad"
    assert sample.tags == ["seen"]
    assert dataset.has_field("boxes.detections.caption")


def test_an_added_label_that_a_person_edited_stays(dataset):
    key = find(dataset)
    sample = dataset.first()
    sample.found.detections[0].label = "cat"
    sample.save()
    undone = undo_run(dataset, key).undone
    assert undone is not None
    assert (undone.removed, undone.kept) == (5, 1)
    assert dataset.values("found.detections.label") == [["cat"], None, None]


def test_samples_labels_and_fields_that_are_gone_are_passed_over(dataset):
    key = caption(dataset, "a")
    second, third = caption(dataset, "s", name="short"), caption(dataset, "l", name="long")
    dataset.delete_samples(dataset.first())
    dataset.delete_labels(ids=dataset.last().boxes.detections[0].id)
    undone = undo_run(dataset, key).undone
    assert undone is not None
    assert (undone.restored, undone.missing) == (3, 3)
    dataset.delete_sample_field("boxes.detections.short")
    undo_run(dataset, second)
    dataset.delete_sample_field("boxes")
    undone = undo_run(dataset, third).undone
    assert undone is not None
    assert (undone.restored, undone.missing) == (0, 6)


def test_added_labels_that_are_gone_are_passed_over(dataset):
    keys = [find(dataset) for _ in range(2)]
    dataset.delete_samples(dataset.first())
    dataset.delete_labels(ids=dataset.first().found.detections[0].id)
    undone = undo_run(dataset, keys[0]).undone
    assert undone is not None
    assert (undone.removed, undone.missing) == (3, 3)
    dataset.delete_sample_field("found")
    undone = undo_run(dataset, keys[1]).undone
    assert undone is not None
    assert (undone.removed, undone.missing) == (0, 6)


@pytest.mark.parametrize("order", ["abc", "acb", "bac", "bca", "cab", "cba"])
def test_overlapping_runs_can_be_undone_in_any_order(dataset, order):
    before = state(dataset)
    for key in "abc":
        samples = None if key != "b" else [dataset.first()]
        caption(dataset, key, key=key, samples=samples)
    for key in order:
        undo_run(dataset, key)
        left = [other for other in "abc" if read_run(dataset, other).state != "undone"]
        if left:  # the last run of those that are left, where it wrote
            assert captions(dataset)[0] == f"{left[-1]} 0"
    assert state(dataset) == before


def test_undoing_an_older_run_tells_what_a_later_one_holds(dataset):
    for key in "ab":
        caption(dataset, key, key=key, samples=[dataset.first()] if key == "b" else None)
    undone = undo_run(dataset, "a").undone
    assert undone is not None
    assert (undone.superseded, undone.restored, undone.undeclared) == (2, 4, ())
    assert undo_run(dataset, "b").undone.undeclared == ("boxes.detections.caption",)


def test_an_edit_between_two_runs_is_what_comes_back(dataset):
    first = caption(dataset, "a")
    sample = dataset.first()
    sample.boxes.detections[0].caption = "mine"
    sample.save()
    second = caption(dataset, "b")
    undo_run(dataset, first)
    undo_run(dataset, second)
    assert captions(dataset) == ["mine", *[None] * 5]


@pytest.mark.parametrize("order", ["fc", "cf"])
def test_a_run_on_labels_that_another_found(dataset, order):
    before = state(dataset)
    keys = {"f": find(dataset)}
    with RunWriter(dataset, "found", operator="x", attributes=[CAPTION]) as writer:
        for sample in dataset:
            for label in sample.found.detections:
                writer.write(sample.id, {label.id: {"caption": "words"}})
    keys["c"] = writer.record.key
    for key in order:
        undo_run(dataset, keys[key])
    assert state(dataset) == before


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_two_runs_that_found_labels_for_one_field(dataset, order):
    before = state(dataset)
    keys = [find(dataset) for _ in range(2)]
    undo_run(dataset, keys[order[0]])
    assert dataset.count("found.detections") == 6
    undo_run(dataset, keys[order[1]])
    assert state(dataset) == before


def test_a_declaration_stays_while_another_run_uses_it(dataset):
    first = caption(dataset, "a", samples=[dataset.first()])
    second = caption(dataset, "b", samples=[dataset.last()])
    assert undo_run(dataset, first).undone.undeclared == ()
    assert dataset.has_field("boxes.detections.caption")
    assert undo_run(dataset, second).undone.undeclared == ("boxes.detections.caption",)


def test_a_declaration_of_the_user_stays(dataset):
    dataset.add_sample_field("boxes.detections.caption", fo.StringField)
    undo_run(dataset, caption(dataset, "a"))
    assert dataset.has_field("boxes.detections.caption")


def test_nulls_that_saving_wrote_into_a_declared_attribute_go_with_it(dataset):
    before = state(dataset)
    key = caption(dataset, "a")
    label = dataset._sample_collection.find_one()["boxes"]["detections"][0]["_id"]
    undo = undo_run
    other = caption(dataset, "b", name="other")
    dataset._sample_collection.update_one(
        {"boxes.detections._id": label}, {"$set": {"boxes.detections.$.caption": None}}
    )
    undo(dataset, key)
    undo(dataset, other)
    assert state(dataset)[1] == before[1]
    assert not dataset._sample_collection.find_one({"boxes.detections.caption": {"$exists": True}})


def test_a_view_undoes_the_whole_run(dataset):
    before = state(dataset)
    key = caption(dataset, "a")
    undo_run(dataset.limit(1), key)
    assert state(dataset) == before


def test_a_list_of_the_user_stays_when_all_its_labels_were_the_runs(dataset):
    sample = dataset.first()
    sample.boxes.detections.clear()
    sample.save()
    before = state(dataset)
    with RunWriter(dataset, "boxes", operator="find", create=fo.Detections) as writer:
        writer.add_labels(sample.id, detections().detections)
    assert undo_run(dataset, writer.record.key).undone.removed == 2
    assert state(dataset) == before


def test_values_on_labels_that_the_same_run_added_go_with_them(dataset):
    before = state(dataset)
    added = detections(1).detections
    with RunWriter(
        dataset, "found", operator="find", create=fo.Detections, attributes=[CAPTION]
    ) as writer:
        writer.add_labels(dataset.first().id, added)
        writer.flush()
        writer.write(dataset.first().id, {added[0].id: {"caption": "words"}})
    undo_run(dataset, writer.record.key)
    assert state(dataset) == before


def test_a_run_that_wrote_nothing_is_undone(dataset):
    before = state(dataset)
    with RunWriter(dataset, "boxes", operator="x", attributes=[CAPTION]) as writer:
        pass
    assert state(dataset) != before
    undo_run(dataset, writer.record.key)
    assert state(dataset) == before


# Datasets that are renamed, cloned, deleted, and what undo needs of the database


def test_a_renamed_dataset_undoes_its_runs(dataset):
    before = state(dataset)
    key = caption(dataset, "a")
    dataset.name = f"{dataset.name}-renamed"
    undo_run(dataset, key)
    assert state(dataset) == before


def test_a_clone_and_its_original_undo_for_themselves(dataset):
    before = state(dataset)
    key = caption(dataset, "a")
    second = caption(dataset, "b")
    clone = dataset.clone()
    try:
        undo_run(dataset, second)
        undo_run(dataset, key)
        assert state(dataset) == before
        assert captions(clone) == ["b 0", "b 1"] * 3
        undo_run(clone, key)
        undo_run(clone, second)
        moving = {"_dataset_id", "created_at"}
        assert [{k: v for k, v in d.items() if k not in moving} for d in documents(clone)] == [
            {k: v for k, v in d.items() if k not in moving} for d in documents(dataset)
        ]
    finally:
        clone.delete()


def test_journals_of_deleted_datasets_and_runs_are_dropped(dataset, new_dataset):
    gone = new_dataset()
    gone.add_sample(fo.Sample(filepath="/nowhere.png", boxes=detections()))
    kept = read_run(dataset, caption(dataset, "a")).journal
    deleted = [
        read_run(gone, caption(gone, "a")).journal,
        read_run(dataset, caption(dataset, "b", key="b")).journal,
    ]
    gone.delete()
    dataset.delete_run("b")
    caption(dataset, "c")
    found = foo.get_db_conn()[journal.NAME].distinct("journal")
    assert kept in found
    assert not set(deleted) & set(found)


def test_a_run_whose_old_values_are_elsewhere_cannot_be_undone(dataset):
    key = caption(dataset, "a")
    record = read_run(dataset, key)
    foo.get_db_conn()[journal.NAME].delete_many({"journal": record.journal})
    with pytest.raises(PluginError, match="are not in this database"):
        undo_run(dataset, key)
    assert read_run(dataset, key).state == "finished"
    assert captions(dataset) == ["a 0", "a 1"] * 3


def test_old_values_longer_than_a_document_are_kept_in_parts(dataset, monkeypatch):
    monkeypatch.setattr(journal, "_DOCUMENT_LIMIT", 8)
    caption(dataset, "old")
    before = state(dataset)
    key = caption(dataset, "a")
    found = foo.get_db_conn()[journal.NAME].find({"journal": read_run(dataset, key).journal})
    assert [len(entry["changes"]) for entry in found] == [1] * 6
    undo_run(dataset, key)
    assert state(dataset) == before
