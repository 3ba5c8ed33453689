"""Runs in words."""

from __future__ import annotations

import pytest

from fiftyone_plugin.operators.new_fields import next_free
from fiftyone_plugin.operators.sentences import counted, ended, moment_of, outcome_of, title_of
from fiftyone_plugin.runs.records import RunCounts, RunRecord


def record(operator="caption_regions", field="gt", paths=(), parameters=None, **options):
    options = {"started": "2026-11-28T09:05:01.000+00:00", **options}
    known = {"key": "k", "model": "nano", "version": "1"}
    return RunRecord(
        operator=operator, field=field, paths=paths, parameters=parameters or {}, **known, **options
    )


@pytest.mark.parametrize(
    ("run", "title"),
    [
        (
            record(
                paths=("gt.detections.story", "gt.detections.pam_object", "gt_captions"),
                parameters={"language": "zh"},
            ),
            "Caption regions: story of gt, in Chinese",
        ),
        (
            record("segment_regions", paths=("gt.detections.mask", "gt.detections.pam_object")),
            "Segment regions: masks of gt",
        ),
        (
            record("segment_regions", "new", ("new.detections", "new.detections.mask")),
            "Segment regions: new",
        ),
        (
            record("find_regions", "frames.all", ("frames.all.detections",)),
            "Find regions: frames.all",
        ),
        (
            record(
                "label_regions",
                "seg",
                ("seg.pam_label", "seg.pam_open_label", "seg.pam_score"),
                {"language": None},
            ),
            "Label regions: pam_label, pam_score of seg",
        ),
    ],
)
def test_a_run_is_named_by_what_it_does(run, title):
    assert title_of(run) == title


def test_when_a_run_began():
    assert moment_of(record()) == "28 Nov 2026, 09:05 UTC"


@pytest.mark.parametrize(
    ("run", "outcome"),
    [
        (record(state="finished", counts=RunCounts(regions=1)), "1 region written"),
        (
            record("find_regions", state="interrupted", counts=RunCounts(added=1200)),
            "stopped, 1,200 regions found",
        ),
        (
            record(state="finished", counts=RunCounts(regions=6, failed=1, failed_regions=9)),
            "6 regions written, 9 regions failed in 1 image",
        ),
        (
            record("find_regions", state="finished", counts=RunCounts(added=1, failed=2)),
            "1 region found, 2 images failed",
        ),
        (record(state="undone", counts=RunCounts(regions=2)), "undone, 2 regions written"),
        (record(counts=RunCounts()), "running, 0 regions written"),
    ],
)
def test_how_a_run_ended(run, outcome):
    assert outcome_of(run) == outcome


def test_why_a_run_ended_early_is_told_unless_a_person_stopped_it():
    crashed = record(state="interrupted", reason="The disk is full.")
    assert ended(crashed).endswith(": stopped, 0 regions written. The disk is full.")
    assert ended(record(state="interrupted", reason="It was stopped.")).endswith("written.")


@pytest.mark.parametrize(
    ("name", "taken", "free"),
    [
        ("a", [], "a"),
        ("a", ["a"], "a_2"),
        ("a_2", ["a", "a_2"], "a_3"),
        ("a_9", ["a_9"], "a_2"),
        ("v2", ["v2"], "v2_2"),
    ],
)
def test_the_next_free_name(name, taken, free):
    assert next_free(name, taken) == free


def test_numbers_and_nouns():
    assert [counted(n, "region") for n in (0, 1, 1000)] == [
        "0 regions",
        "1 region",
        "1,000 regions",
    ]
