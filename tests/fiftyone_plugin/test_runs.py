"""Tests of records, undo and comparison, on a real dataset."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from pathlib import Path

import fiftyone as fo
import fiftyone.core.odm as foo
import numpy as np
import pytest

from fiftyone_plugin import journal, runs
from fiftyone_plugin.compare import compare_runs
from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.fields import Attribute
from fiftyone_plugin.runs import list_runs, read_run
from fiftyone_plugin.undo import undo_run
from fiftyone_plugin.writer import RunWriter

CAPTION = Attribute("caption", "text", "What the region is.")
ROOT = Path(__file__).resolve().parents[2]


def detections(number=2):
    return fo.Detections(
        detections=[
            fo.Detection(label=f"thing {index}", bounding_box=[0.1, 0.1, 0.5, 0.5], mood="good")
            for index in range(number)
        ]
    )


@pytest.fixture
def dataset(new_dataset):
    dataset = new_dataset()
    dataset.add_samples(
        fo.Sample(filepath=f"/nowhere/{number}.png", boxes=detections()) for number in range(3)
    )
    return dataset


def documents(dataset):
    found = dataset._sample_collection.find().sort("_id")
    return [{k: v for k, v in each.items() if k != "last_modified_at"} for each in found]


def state(dataset):
    """What undo has to bring back: documents and schema."""
    return documents(dataset), sorted(dataset.get_field_schema(flat=True))


def caption(dataset, text, *, name="caption", key="", samples=None, **options):
    with RunWriter(
        dataset,
        "boxes",
        operator="caption_regions",
        attributes=[replace(CAPTION, name=name)],
        key=key,
        **options,
    ) as writer:
        for sample in samples or dataset:
            for number, label in enumerate(sample.boxes.detections):
                writer.write(sample.id, {label.id: {name: f"{text} {number}"}})
    return writer.record.key


def captions(dataset):
    return dataset.values("boxes.detections.caption", unwind=True)


# Records


def test_a_record_tells_what_was_asked_and_what_became_of_it(dataset):
    before = datetime.now(timezone.utc)
    key = caption(
        dataset, "a", parameters={"field": "boxes", "tasks": ["brief"]}, model="nano", version="1.2"
    )
    record = read_run(dataset, key)
    assert (record.operator, record.model, record.version) == ("caption_regions", "nano", "1.2")
    assert record.parameters == {"field": "boxes", "tasks": ["brief"]}
    assert record.declared == ("boxes.detections.caption",)
    assert record.finished is not None
    started, finished = map(datetime.fromisoformat, (record.started, record.finished))
    assert before - timedelta(seconds=1) <= started <= finished
    assert record.to_dict()["counts"]["regions"] == 6
    assert key.startswith("caption_regions_")


def test_records_are_fiftyones_own_runs(dataset):
    key = caption(dataset, "a", key="mine")
    assert dataset.list_runs() == ["mine"]
    config = dataset.get_run_info(key).config
    assert (config.method, config.state) == ("@pam-labeling/pam/caption_regions", "finished")
    dataset.rename_run("mine", "yours")
    assert read_run(dataset, "yours").counts.regions == 6


def test_undoing_a_run_keeps_when_it_finished(dataset):
    key = caption(dataset, "a")
    finished = read_run(dataset, key).finished
    undo_run(dataset, key)
    record = read_run(dataset, key)
    assert record.finished == finished is not None
    assert record.undone_at is not None
    assert record.undone_at >= finished


def test_an_unknown_key_is_answered_with_the_newest_ten(dataset):
    for number in range(12):
        caption(dataset, "a", key=f"run_{number}", samples=[dataset.first()])
    known = ", ".join(f"run_{number}" for number in range(11, 1, -1))
    with pytest.raises(PluginError, match=f"its runs: {known}, and 2 older ones: see list_runs"):
        read_run(dataset, "x")


def test_runs_of_others_are_not_listed(dataset):
    dataset.register_run("theirs", dataset.init_run(method="other"))
    caption(dataset, "a", key="b")
    caption(dataset, "a", key="a")
    assert [record.key for record in list_runs(dataset)] == ["b", "a"]


def test_keys_are_free_and_names(dataset, monkeypatch):
    monkeypatch.setattr(runs, "now", lambda: "2026-01-02T03:04:05.000+00:00")
    keys = [caption(dataset, "a") for _ in range(3)]
    assert keys == [f"caption_regions_20260102_030405{more}" for more in ("", "_2", "_3")]
    with pytest.raises(PluginError, match="has a run 'caption_regions_20260102_030405' already"):
        caption(dataset, "a", key=keys[0])
    with pytest.raises(PluginError, match="cannot name a run"):
        caption(dataset, "a", key="not a name")


def test_an_unknown_run_is_named_with_those_that_there_are(dataset):
    with pytest.raises(PluginError, match="has no run 'x' of this plugin; its runs: none yet"):
        read_run(dataset, "x")
    caption(dataset, "a", key="mine")
    with pytest.raises(PluginError, match="its runs: mine"):
        undo_run(dataset, "x")


def test_a_run_of_another_host_is_alive_while_it_writes(dataset):
    key = caption(dataset, "a")
    record = replace(read_run(dataset, key), state="running", process=("elsewhere", 1, 0.0))
    runs.save(dataset, record)
    assert read_run(dataset, key).state == "running"
    long_ago = datetime.now(timezone.utc) - timedelta(hours=1)
    runs.save(dataset, replace(record, seen=long_ago.isoformat()))
    assert read_run(dataset, key).state == "interrupted"


def test_a_run_whose_process_is_gone_is_interrupted(dataset):
    key = caption(dataset, "a")
    host, pid, start = runs.this_process()
    record = replace(read_run(dataset, key), state="running")
    for process in ((host, 2**22 + 1, start), (host, pid, start - 100)):
        runs.save(dataset, replace(record, process=process))
        assert read_run(dataset, key).state == "interrupted"


# Undo


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
    with RunWriter(dataset, "found", operator="find", create=fo.Detections) as writer:
        for sample in dataset:
            writer.add_labels(sample.id, detections().detections)
    sample = dataset.first()
    sample.found.detections[0].label = "cat"
    sample.save()
    undone = undo_run(dataset, writer.record.key).undone
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
    keys = []
    for _ in range(2):
        with RunWriter(dataset, "found", operator="find", create=fo.Detections) as writer:
            for sample in dataset:
                writer.add_labels(sample.id, detections().detections)
        keys.append(writer.record.key)
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
    keys = {}
    with RunWriter(dataset, "found", operator="find", create=fo.Detections) as writer:
        for sample in dataset:
            writer.add_labels(sample.id, detections().detections)
    keys["f"] = writer.record.key
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
    keys = []
    for _ in range(2):
        with RunWriter(dataset, "found", operator="find", create=fo.Detections) as writer:
            for sample in dataset:
                writer.add_labels(sample.id, detections().detections)
        keys.append(writer.record.key)
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


# Datasets that are renamed, cloned, deleted


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


# Killed undo

UNDO = """
import os, signal, sys
import fiftyone as fo
from fiftyone_plugin import undo

calls = 0
write = undo.write

def killed(*arguments):
    global calls
    calls += 1
    if calls == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return write(*arguments)

undo._CHUNK = 5
undo.write = killed
undo.undo_run(fo.load_dataset(sys.argv[1]), sys.argv[2])
"""


def test_an_undo_that_was_killed_can_be_repeated(new_dataset):
    dataset = new_dataset()
    dataset.persistent = True  # or the next process that connects deletes it
    dataset.add_samples(
        fo.Sample(filepath=f"/nowhere/{number}.png", boxes=detections()) for number in range(20)
    )
    before = state(dataset)
    with RunWriter(
        dataset, "boxes", operator="x", create=fo.Detections, attributes=[CAPTION], key="a"
    ) as writer:
        for sample in dataset:
            labels = {label.id: {"caption": "words"} for label in sample.boxes.detections}
            writer.write(sample.id, labels)
            writer.add_labels(sample.id, detections(1).detections)
    edited = dataset.first()
    edited.boxes.detections[0].caption = "mine"
    edited.save()
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'model'}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", UNDO, dataset.name, "a"]
    assert subprocess.call(command, env=environment, cwd=ROOT) == -signal.SIGKILL
    assert dataset.count("boxes.detections") == 50
    assert read_run(dataset, "a").state == "undoing"
    undone = undo_run(dataset, "a").undone
    assert undone is not None
    assert (undone.restored, undone.removed, undone.kept) == (39, 20, 1)
    edited.reload()
    assert edited.boxes.detections[0].caption == "mine"
    edited.boxes.detections[0].clear_field("caption")
    edited.save()
    dataset._sample_collection.update_one(
        {"boxes.detections.caption": None}, {"$unset": {"boxes.detections.0.caption": ""}}
    )
    assert documents(dataset) == before[0]


# Comparison


def test_two_runs_side_by_side(dataset):
    first = caption(dataset, "a", name="caption_a")
    second = caption(dataset, "b", name="caption_b", samples=[dataset.first(), dataset.last()])
    found = compare_runs(dataset, first, second)
    assert (found.regions, found.different, len(found.rows)) == (4, 4, 4)
    sample = dataset.first()
    row = next(row for row in found.rows if row.label_id == sample.boxes.detections[0].id)
    assert row.sample_id == sample.id
    assert (row.first, row.second) == ({"caption_a": "a 0"}, {"caption_b": "b 0"})
    assert sorted(found.view.values("id")) == sorted([sample.id, dataset.last().id])
    assert found.to_dict()["rows"][0]["same"] is False


def test_a_comparison_shows_what_was_written_over(dataset):
    first, second = caption(dataset, "a"), caption(dataset, "b")
    sample = dataset.first()
    sample.boxes.detections[0].caption = "mine"
    sample.save()
    rows = compare_runs(dataset, first, second).rows
    assert {tuple(row.first.values()) + tuple(row.second.values()) for row in rows} == {
        ("a 0", "b 0"),
        ("a 1", "b 1"),
    }


def test_a_comparison_can_be_short_and_of_differences_only(dataset):
    first = caption(dataset, "a")
    second = caption(dataset, "a", name="other", samples=[dataset.first()])
    third = caption(dataset, "b", name="third")
    assert compare_runs(dataset, first, second, only_different=True).rows == ()
    found = compare_runs(dataset, first, third, limit=2)
    assert (len(found.rows), found.regions) == (2, 6)
    assert found.view.count("boxes.detections") == 2


def test_masks_are_left_out_of_comparisons(dataset):
    keys = []
    for _ in range(2):
        attributes = [CAPTION, Attribute("mask")]
        with RunWriter(dataset, "boxes", operator="x", attributes=attributes) as writer:
            label = dataset.first().boxes.detections[0].id
            mask = np.random.default_rng(0).random((50, 50)) > 0.5
            writer.write(dataset.first().id, {label: {"caption": "a", "mask": mask}})
        keys.append(writer.record.key)
    (row,) = compare_runs(dataset, *keys).rows
    assert (row.first, row.second, row.same) == ({"caption": "a"}, {"caption": "a"}, True)


def test_runs_on_frames_can_be_compared(new_dataset):
    dataset = new_dataset()
    sample = fo.Sample(filepath="/nowhere.mp4")
    sample.frames[1] = fo.Frame(boxes=detections())
    dataset.add_sample(sample)
    frame = dataset.first().frames[1]
    keys = []
    for text in "ab":
        with RunWriter(dataset, "frames.boxes", operator="x", attributes=[CAPTION]) as writer:
            writer.write(frame.id, {frame.boxes.detections[0].id: {"caption": text}})
        keys.append(writer.record.key)
    found = compare_runs(dataset, *keys)
    assert found.rows[0].sample_id == frame.id
    assert found.view.count("frames.boxes.detections") == 1


def test_runs_without_a_region_in_common_are_not_compared(dataset):
    first = caption(dataset, "a", samples=[dataset.first()])
    second = caption(dataset, "b", samples=[dataset.last()])
    with pytest.raises(PluginError, match="no region that both have"):
        compare_runs(dataset, first, second)
    with pytest.raises(PluginError, match="not one twice"):
        compare_runs(dataset, first, first)


def test_a_segmentations_classes_are_compared_one_by_one(operator, new_dataset, pictures):
    mask = np.zeros((64, 64), np.uint8)
    mask[5:30, 5:30], mask[35:60, 35:60] = 1, 2
    dataset = new_dataset()
    dataset.add_sample(fo.Sample(filepath=str(pictures(0)), seg=fo.Segmentation(mask=mask)))
    keys = []
    for texts in ({"1": "a", "2": "b"}, {"1": "a", "2": "c", "3": "d"}):
        captions = replace(CAPTION, kind="record")
        with RunWriter(dataset, "seg", operator="x", attributes=[captions]) as writer:
            writer.write(dataset.first().id, {dataset.first().seg.id: {"caption": texts}})
        keys.append(writer.record.key)
    found = operator("compare_runs")(dataset, *keys)
    label = dataset.first().seg.id
    assert (found["regions"], found["different"]) == (2, 1)
    assert [(row["label_id"], row["same"]) for row in found["rows"]] == [
        (f"{label}:1", True),
        (f"{label}:2", False),
    ]
    assert found["rows"][1]["second"] == {"caption": "c"}
    assert found["view"].values("seg.id") == [label]


def test_all_slices_of_groups_are_shown(new_dataset):
    dataset = new_dataset()
    dataset.add_group_field("group", default="left")
    group = fo.Group()
    dataset.add_samples(
        fo.Sample(filepath=f"/nowhere/{name}.png", group=group.element(name), boxes=detections())
        for name in ("left", "right")
    )
    both = dataset.select_group_slices(["left", "right"])
    keys = [caption(dataset, text, samples=list(both)) for text in "ab"]
    found = compare_runs(dataset, *keys)
    assert (found.regions, found.view.count("boxes.detections")) == (4, 4)
