"""Tests of how runs end when something fails: with a reason, and so that they can be undone."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import fiftyone as fo
import pytest
from pymongo.errors import AutoReconnect

from fiftyone_plugin.errors import PluginError
from fiftyone_plugin.runs import records
from fiftyone_plugin.runs import writer as writer_module
from fiftyone_plugin.runs.records import list_runs, read_run
from fiftyone_plugin.runs.undo import undo_run
from fiftyone_plugin.runs.writer import RunWriter
from tests.fiftyone_plugin.boxes import CAPTION, add_samples, caption, detections
from tests.fiftyone_plugin.conftest import documents


@pytest.fixture
def dataset(new_dataset):
    """Three samples with one box each."""
    return add_samples(new_dataset(), boxes=lambda: detections(1))


def lose_connection(*_):
    raise AutoReconnect("connection closed")


def test_a_run_that_cannot_declare_its_fields_is_interrupted(dataset, monkeypatch):
    def refuse(*_, **__):
        raise ValueError("no more fields")

    before = documents(dataset)
    with monkeypatch.context() as patch:
        patch.setattr(fo.Dataset, "add_sample_field", refuse)
        with pytest.raises(PluginError, match="FiftyOne refuses the run's fields: no more fields"):
            caption(dataset, "a")
    (record,) = list_runs(dataset)
    assert record.state == "interrupted"
    assert "no more fields" in record.reason
    assert undo_run(dataset, record.key).state == "undone"
    assert documents(dataset) == before


@pytest.mark.parametrize("flush_regions", [1, 2, 100])
def test_a_run_whose_flush_fails_is_interrupted_and_undone(dataset, monkeypatch, flush_regions):
    """The first flush fails, or the second, or the last."""
    before = documents(dataset)
    flush, calls = writer_module.flush, []

    def second_fails(*args):
        calls.append(args)
        if flush_regions == 100 or len(calls) == 2:
            lose_connection()
        return flush(*args)

    monkeypatch.setattr(writer_module, "flush", second_fails)
    with pytest.raises(AutoReconnect):
        caption(dataset, "a", flush_regions=flush_regions)
    (record,) = list_runs(dataset)
    assert (record.state, record.reason) == ("interrupted", "connection closed")
    undo_run(dataset, record.key)
    assert documents(dataset) == before


def test_a_failed_flush_that_the_caller_swallows_is_no_finished_run(dataset, monkeypatch):
    with RunWriter(dataset, "boxes", operator="x", attributes=[CAPTION]) as writer:
        monkeypatch.setattr(writer_module, "flush", lose_connection)
        sample = dataset.first()
        writer.write(sample.id, {sample.boxes.detections[0].id: {"caption": "words"}})
        with pytest.raises(AutoReconnect):
            writer.flush()
    assert writer.record.state == "interrupted"


def test_an_end_is_written_when_the_database_is_back(dataset, monkeypatch):
    monkeypatch.setattr(records, "_PAUSE", 0.0)
    save, failures = records.save, [None]

    def fails_once(collection, record):
        if record.state == "finished" and failures:
            failures.pop()
            lose_connection()
        save(collection, record)

    monkeypatch.setattr(records, "save", fails_once)
    caption(dataset, "a")
    assert failures == []
    assert dataset.get_run_info(list_runs(dataset)[0].key).config.state == "finished"


def caption_but_lose_connection(dataset, patch):
    with RunWriter(dataset, "boxes", operator="x", attributes=[CAPTION]) as writer:
        patch.setattr(records, "save", lose_connection)
        sample = dataset.first()
        writer.write(sample.id, {sample.boxes.detections[0].id: {"caption": "words"}})


def test_a_run_whose_end_could_not_be_written_is_known_to_have_ended(dataset, monkeypatch):
    monkeypatch.setattr(records, "_PAUSE", 0.0)
    before = documents(dataset)
    with monkeypatch.context() as patch, pytest.raises(AutoReconnect):
        caption_but_lose_connection(dataset, patch)
    (record,) = list_runs(dataset)
    assert dataset.get_run_info(record.key).config.state == "running"
    assert (record.state, record.reason) == ("interrupted", "connection closed")
    undo_run(dataset, record.key)
    assert documents(dataset) == before
    assert dataset.get_run_info(record.key).config.state == "undone"


def test_what_ended_a_run_is_its_reason(dataset):
    with pytest.raises(OSError, match="disk full"), RunWriter(dataset, "boxes", operator="x"):
        raise OSError("disk full")
    with pytest.raises(KeyboardInterrupt), RunWriter(dataset, "boxes", operator="x"):
        raise KeyboardInterrupt
    caption(dataset, "a")
    reasons = [record.reason for record in list_runs(dataset)]
    assert reasons == ["disk full", "It was stopped.", ""]


def test_a_run_that_is_silent_for_long_is_ended_by_stopping_it(dataset, operator):
    caption(dataset, "a")
    (finished,) = list_runs(dataset)
    minutes = {"slow": 5, "silent": 11}
    for state, ago in minutes.items():
        seen = (datetime.now(timezone.utc) - timedelta(minutes=ago)).isoformat()
        record = replace(finished, state="running", seen=seen, process=records.this_process())
        records.save(dataset, record)
        operator("stop_run")(dataset, record.key)
        found = read_run(dataset, record.key)
        assert found.state == ("running" if state == "slow" else "interrupted")
    assert "ten minutes" in found.reason
    undo_run(dataset, found.key)
    assert dataset.count("boxes.detections.caption") == 0
