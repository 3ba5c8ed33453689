"""Tests of undo: what comes back, what stays, and runs over each other."""

from __future__ import annotations

from dataclasses import replace

import fiftyone as fo
import numpy as np
import pytest

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.labels.fields import Attribute
from fiftyone_plugin.runs.records import list_runs, read_run, save
from fiftyone_plugin.runs.undo import undo_run
from fiftyone_plugin.runs.writer import RunWriter
from tests.fiftyone_plugin.boxes import (
    CAPTION,
    add_samples,
    caption,
    captions,
    detections,
    find,
    state,
)


@pytest.fixture
def dataset(new_dataset):
    return add_samples(new_dataset())


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
    undo_run(dataset, second, skip_missing=True)
    dataset.delete_sample_field("boxes")
    undone = undo_run(dataset, third, skip_missing=True).undone
    assert undone is not None
    assert (undone.restored, undone.missing) == (0, 6)


def test_added_labels_that_are_gone_are_passed_over(dataset):
    keys = [find(dataset) for _ in range(2)]
    dataset.delete_samples(dataset.first())
    dataset.delete_labels(ids=dataset.first().found.detections[0].id)
    undone = undo_run(dataset, keys[1]).undone
    assert undone is not None
    assert (undone.removed, undone.missing) == (4, 2)
    dataset.delete_sample_field("found")
    undone = undo_run(dataset, keys[0], skip_missing=True).undone
    assert undone is not None
    assert (undone.removed, undone.missing) == (0, 6)


def test_overlapping_runs_are_undone_the_newest_first(dataset):
    before, states = state(dataset), []
    for key in "abc":
        states.append(state(dataset))
        samples = None if key != "b" else [dataset.first()]
        caption(dataset, key, key=key, samples=samples)
    for key in "cba":
        for older in "ab"[: "abc".index(key)]:
            with pytest.raises(PluginError, match=f"newer run '{key}' wrote to 'boxes.*caption'"):
                undo_run(dataset, older)
            assert read_run(dataset, older).state == "finished"
        undo_run(dataset, key)
        assert state(dataset) == states.pop()
    assert state(dataset) == before


def test_runs_on_other_attributes_are_undone_in_any_order(dataset):
    before = state(dataset)
    for key in "abc":
        caption(dataset, key, name=f"caption_{key}", key=key)
    for key in "bac":
        undo_run(dataset, key)
    assert state(dataset) == before


@pytest.mark.parametrize("order", ["ab", "ba"])
@pytest.mark.parametrize("earlier", [None, "of another run"])
def test_reasons_for_failures_do_not_tie_runs_on_other_attributes(dataset, order, earlier):
    if earlier:
        dataset.set_values("pam_error", [earlier] * len(dataset))
    before, (first, second, third) = state(dataset), dataset
    reasons = {"a": (first, second), "b": (second, third)}
    for key, samples in reasons.items():
        attributes = [replace(CAPTION, name=f"caption_{key}")]
        with RunWriter(dataset, "boxes", operator="x", attributes=attributes, key=key) as writer:
            for sample in samples:
                label = sample.boxes.detections[0].id
                writer.write(sample.id, {label: {f"caption_{key}": "said"}})
                writer.fail(sample.id, f"by {key}")
    undo_run(dataset, order[0])
    left = {sample.id: f"by {order[1]}" for sample in reasons[order[1]]}
    assert {s.id: s.pam_error for s in dataset} == {
        s.id: left.get(s.id, earlier) for s in (first, second, third)
    }
    undo_run(dataset, order[1])
    assert state(dataset) == before


def test_a_newer_run_that_is_partly_undone_is_undone_first(dataset):
    caption(dataset, "a", key="a")
    caption(dataset, "b", key="b")
    save(dataset, replace(read_run(dataset, "b"), state="undoing"))
    with pytest.raises(PluginError, match="The newer run 'b'"):
        undo_run(dataset, "a")


def test_runs_that_wrote_in_turns_leave_what_was_there(dataset):
    before = state(dataset)
    sample = dataset.first()
    label = sample.boxes.detections[0].id
    options = {"operator": "x", "attributes": [CAPTION]}
    with (
        RunWriter(dataset, "boxes", key="a", **options) as first,
        RunWriter(dataset, "boxes", key="b", **options) as second,
    ):
        for writer, text in ((first, "1"), (second, "2"), (first, "3")):
            writer.write(sample.id, {label: {"caption": text}})
            writer.flush()
    undo_run(dataset, "b")
    assert captions(dataset)[0] == "3"
    undo_run(dataset, "a")
    assert state(dataset) == before


def test_an_edit_between_two_runs_is_what_comes_back(dataset):
    first = caption(dataset, "a")
    sample = dataset.first()
    sample.boxes.detections[0].caption = "mine"
    sample.save()
    second = caption(dataset, "b")
    undo_run(dataset, second)
    assert captions(dataset) == ["mine", *["a 1", "a 0"] * 2, "a 1"]
    undo_run(dataset, first)
    assert captions(dataset) == ["mine", *[None] * 5]


def test_a_run_on_labels_that_another_found_is_undone_first(dataset):
    before = state(dataset)
    found = find(dataset)
    with RunWriter(dataset, "found", operator="x", attributes=[CAPTION], key="words") as writer:
        for sample in dataset:
            for label in sample.found.detections:
                writer.write(sample.id, {label.id: {"caption": "words"}})
    with pytest.raises(PluginError, match="newer run 'words' wrote to 'found.detections.caption'"):
        undo_run(dataset, found)
    undo_run(dataset, "words")
    undo_run(dataset, found)
    assert state(dataset) == before


def test_two_runs_that_found_labels_for_one_field(dataset):
    before = state(dataset)
    keys = [find(dataset) for _ in range(2)]
    undo_run(dataset, keys[1])
    assert dataset.count("found.detections") == 6
    undo_run(dataset, keys[0])
    assert state(dataset) == before


def test_a_declaration_stays_while_another_run_uses_it(dataset):
    first = caption(dataset, "a", samples=[dataset.first()])
    second = caption(dataset, "b", samples=[dataset.last()])
    assert undo_run(dataset, second).undone.undeclared == ()
    assert dataset.has_field("boxes.detections.caption")
    assert undo_run(dataset, first).undone.undeclared == ("boxes.detections.caption",)


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
