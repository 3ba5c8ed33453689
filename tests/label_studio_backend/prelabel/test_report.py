from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from label_studio_backend.prelabel import report as module
from label_studio_backend.prelabel.report import Report, left_out_sentences
from label_studio_backend.prelabel.sink import Written
from label_studio_backend.prelabel.source import Tally


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=200)


def text(console):
    return console.file.getvalue()


def test_a_summary_counts_what_was_written_and_left_out(console):
    report = Report(console, 5, Tally(done_before=2))
    report.wrote(Written.CREATED)
    report.wrote(Written.REPLACED)
    report.summary("v [1]")
    assert "2 tasks pre-annotated as 'v [1]'" in text(console)
    assert "2 tasks left out: they have a prediction of 'v [1]' (--overwrite" in text(console)
    assert "failed" not in text(console)


def test_failures_are_listed_with_their_reasons(console):
    report = Report(console, 5, Tally())
    report.failed(7, "[red]no\x1b image")
    report.summary("v")
    assert "1 task failed:" in text(console)
    assert "task 7: [red]no\ufffd image" in text(console)


def test_of_many_failures_only_some_are_listed(console):
    report = Report(console, 50, Tally())
    for task in range(1, 31):
        report.failed(task, "gone")
    report.summary("v")
    assert "task 20: gone" in text(console)
    assert "task 21" not in text(console)
    assert "... and 10 more: --failures FILE.jsonl keeps them all" in text(console)


def test_failures_are_written_to_the_file_at_once(console):
    file = io.StringIO()
    report = Report(console, 5, Tally(), failures_file=file)
    report.failed(7, "图 is gone")
    assert json.loads(file.getvalue()) == {"task": 7, "reason": "图 is gone"}


def test_without_a_terminal_a_line_is_written_now_and_then(console, monkeypatch):
    monkeypatch.setattr(module, "_LINE", 0.0)
    report = Report(console, 12, Tally(done_before=2), limit=8)
    with report.progress:
        report.wrote(Written.CREATED)
    assert text(console).startswith("1 of 8 tasks, ")
    assert text(console).endswith("tasks/s, 0 failed\n")


def test_a_terminal_sees_a_bar_with_the_rate_and_the_failures():
    console = Console(file=io.StringIO(), width=200, force_terminal=True)
    report = Report(console, 4, Tally())
    with report.progress:
        report.wrote(Written.CREATED)
        report.failed(1, "gone")
    assert "2/4" in text(console)
    assert "tasks/s" in text(console)
    assert "1 failed" in text(console)


@pytest.mark.parametrize(
    ("tally", "sentence"),
    [
        (Tally(done_before=1), "1 task left out: they have a prediction of 'v' "),
        (Tally(excluded=2), "2 tasks left out: not selected in the view"),
        (Tally(vanished=[3, 4]), "2 tasks (3, 4) left out: deleted meanwhile"),
        (Tally(missing=[3]), "1 task (3) left out: not in the project, or not chosen"),
        (Tally(missing=[3] * 21), f"21 tasks ({'3, ' * 20}...) left out"),
    ],
)
def test_why_tasks_are_left_out(tally, sentence):
    (said,) = left_out_sentences(tally, "v")
    assert said.startswith(sentence)
