"""Tests of undo: renamed and cloned datasets, damaged records and journals, older versions."""

from __future__ import annotations

from pathlib import Path

import fiftyone as fo
import fiftyone.core.odm as foo
import pytest
from bson import ObjectId, json_util

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.runs import journal
from fiftyone_plugin.runs.records import list_runs, read_run
from fiftyone_plugin.runs.undo import undo_run
from tests.fiftyone_plugin.boxes import add_samples, caption, captions, detections, state
from tests.fiftyone_plugin.conftest import documents


@pytest.fixture
def dataset(new_dataset):
    return add_samples(new_dataset())


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
        undo_run(clone, second)
        undo_run(clone, key)
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


# Records and journals that are damaged, or of a newer version


@pytest.mark.parametrize(
    "change",
    [{"$set": {"config.state": "paused"}}, {"$unset": {"config.field": ""}}]
    + [{"$set": {f"config.{name}": 7}} for name in ("counts", "failures", "paths", "undone")],
)
def test_a_record_that_cannot_be_read_is_refused_and_can_be_forgotten(dataset, change):
    caption(dataset, "a", key="a")
    found = foo.get_db_conn().runs.update_one({"key": "a", "_dataset_id": dataset._doc.id}, change)
    assert found.modified_count == 1
    for use in (list_runs, lambda dataset: undo_run(dataset, "a")):
        with pytest.raises(PluginError, match="record of the run 'a' is damaged.*delete_run"):
            use(dataset)
    dataset.delete_run("a")
    assert list_runs(dataset) == []
    assert captions(dataset) == ["a 0", "a 1"] * 3


@pytest.mark.parametrize(
    "change",
    [
        {"$unset": {"changes": ""}},
        {"$set": {"added": None}},
        {"$set": {"added": [{"labels": [7]}]}},
        {"$unset": {"changes.0.new": ""}},
        {"$set": {"changes.1": "cut"}},
        {"$set": {"changes.0.reason": "of a later version"}},
        {"$set": {"kind": "of a later version"}},
    ],
)
def test_a_journal_that_cannot_be_read_changes_nothing_and_can_be_tried_again(dataset, change):
    before = state(dataset)
    key = caption(dataset, "a")
    after = documents(dataset)
    entries = foo.get_db_conn()[journal.NAME]
    kept = list(entries.find({"journal": read_run(dataset, key).journal}))
    entries.update_one({"_id": kept[-1]["_id"]}, change)
    with pytest.raises(PluginError, match=f"sample or frame {kept[-1]['document']} are damaged"):
        undo_run(dataset, key)
    assert documents(dataset) == after
    entries.replace_one({"_id": kept[-1]["_id"]}, kept[-1])
    undo_run(dataset, key)
    assert state(dataset) == before


# Runs of earlier versions


def test_a_run_of_0_1_0_is_read_and_undone(new_dataset):
    """Its documents are as that version wrote them: sample, run and journal."""
    text = (Path(__file__).parents[1] / "data" / "run-0.1.0.json").read_text(encoding="utf-8")
    found = json_util.loads(text)
    dataset = add_samples(new_dataset(), 1)
    dataset.add_sample_field("boxes.detections.caption", fo.StringField)
    before = state(dataset)[1]
    dataset.add_sample_field("boxes.detections.pam_label", fo.StringField)
    dataset.add_sample_field("boxes_captions", fo.ListField, subfield=fo.StringField)
    dataset.add_sample_field("pam_error", fo.StringField)
    here = {"_dataset_id": dataset._doc.id}
    dataset._sample_collection.delete_many({})
    dataset._sample_collection.insert_many([{**one, **here} for one in found["after"]])
    runs, entries = foo.get_db_conn().runs, foo.get_db_conn()[journal.NAME]
    run = {**found["run"][0], **here, "_id": ObjectId()}
    runs.insert_one(run)
    dataset._doc.runs["old"] = run["_id"]
    dataset.save()
    entries.insert_many(found["journal"])
    dataset.reload()
    (record,) = list_runs(dataset)
    assert (record.version, record.state, record.counts.regions) == ("0.1.0", "finished", 2)
    undone = undo_run(dataset, "old").undone
    assert undone is not None
    assert (undone.restored, undone.removed, undone.kept, undone.missing) == (8, 1, 0, 0)
    moving = {"_dataset_id", "last_modified_at"}
    left = [{k: v for k, v in one.items() if k not in moving} for one in documents(dataset)]
    assert left == [{k: v for k, v in one.items() if k not in moving} for one in found["before"]]
    assert state(dataset)[1] == before
