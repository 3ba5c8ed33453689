"""Tests of the records that runs leave, on a real dataset."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.runs import records
from fiftyone_plugin.runs.records import list_runs, read_run
from fiftyone_plugin.runs.undo import undo_run
from tests.fiftyone_plugin.boxes import add_samples, caption


@pytest.fixture
def dataset(new_dataset):
    return add_samples(new_dataset())


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
    monkeypatch.setattr(records, "now", lambda: "2026-01-02T03:04:05.000+00:00")
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
    records.save(dataset, record)
    assert read_run(dataset, key).state == "running"
    long_ago = datetime.now(timezone.utc) - timedelta(hours=1)
    records.save(dataset, replace(record, seen=long_ago.isoformat()))
    assert read_run(dataset, key).state == "interrupted"


def test_a_run_whose_process_is_gone_is_interrupted(dataset):
    key = caption(dataset, "a")
    host, pid, start = records.this_process()
    record = replace(read_run(dataset, key), state="running")
    for process in ((host, 2**22 + 1, start), (host, pid, start - 100)):
        records.save(dataset, replace(record, process=process))
        assert read_run(dataset, key).state == "interrupted"
