"""Show people the progress, the failures and a summary of a run."""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, TextIO

from pam_labeling.command_line.terminal import progress_bar, shown

if TYPE_CHECKING:
    from rich.console import Console

    from label_studio_backend.prelabel.sink import Written
    from label_studio_backend.prelabel.source import Tally

_SHOWN = 20  # failures listed at the end
_LINE = 30.0  # seconds between two lines of progress without a terminal


class Report:
    """Counts written and failed tasks, and shows them; put `with report.progress:` around the run.

    Args:
        console: a console on stderr.
        chosen: how many tasks the selection has, done or not.
        tally: counts the tasks that the source leaves out.
        limit: the most tasks to do.
        failures_file: gets a line of JSON for each failure, at once.
    """

    def __init__(
        self,
        console: Console,
        chosen: int,
        tally: Tally,
        *,
        limit: int | None = None,
        failures_file: TextIO | None = None,
    ) -> None:
        self.written: Counter[Written] = Counter()
        self.failures = 0
        self._first: list[tuple[int, str]] = []
        self._console = console
        self._chosen = chosen
        self._limit = limit
        self._tally = tally
        self._file = failures_file
        self._began = self._lined = time.monotonic()
        self.progress = progress_bar(console, self._total())
        self.progress.disable |= not console.is_terminal
        self._bar = self.progress.add_task("pre-labelling", total=self._total())

    @property
    def done(self) -> int:
        """How many tasks are written or failed."""
        return self.written.total() + self.failures

    def wrote(self, written: Written) -> None:
        """Count a prediction that is in Label Studio."""
        self.written[written] += 1
        self._show()

    def failed(self, task: int, reason: str) -> None:
        """Count a task that got no prediction."""
        self.failures += 1
        if len(self._first) < _SHOWN:
            self._first.append((task, reason))
        if self._file is not None:
            # At once, so that they survive if the run is killed.
            line = json.dumps({"task": task, "reason": reason}, ensure_ascii=False)
            print(line, file=self._file, flush=True)
        self._show()

    def _show(self) -> None:
        failed = f", [red]{self.failures} failed[/]" if self.failures else ""
        self.progress.update(
            self._bar,
            completed=self.done,
            total=self._total(),
            description=f"pre-labelling, {self._rate():.2f} tasks/s{failed}",
        )
        now = time.monotonic()
        if not self._console.is_terminal and now - self._lined >= _LINE:
            self._lined = now
            self._console.print(
                f"{self.done} of {self._total()} tasks, {self._rate():.2f} tasks/s, "
                f"{self.failures} failed"
            )

    def summary(self, model_version: str) -> None:
        """Print how the run ended."""
        self._console.print(
            f"{_tasks(self.written.total())} pre-annotated as {shown(repr(model_version))}, "
            f"{self._rate():.2f} tasks/s"
        )
        for left_out in left_out_sentences(self._tally, model_version):
            self._console.print(left_out)
        if self.failures:
            self._console.print(f"[red]{_tasks(self.failures)} failed:[/]")
        for task, reason in self._first:
            self._console.print(f"  task {task}: {shown(reason)}")
        if more := self.failures - len(self._first):
            self._console.print(f"  ... and {more} more: --failures FILE.jsonl keeps them all")

    def _rate(self) -> float:
        return self.done / max(time.monotonic() - self._began, 1e-3)

    def _total(self) -> int:
        """How many tasks there are to do, as far as is known now."""
        left_out = self._tally.done_before + self._tally.excluded + len(self._tally.vanished)
        total = max(self._chosen - left_out, self.done)
        return total if self._limit is None else min(total, self._limit)


def left_out_sentences(tally: Tally, model_version: str) -> list[str]:
    """Sentences about the tasks that are left out, with markup for a console."""
    left_out = (
        (
            tally.done_before,
            f"they have a prediction of {shown(repr(model_version))} (--overwrite does them again)",
        ),
        (tally.excluded, "not selected in the view"),
        (tally.vanished, "deleted meanwhile"),
        (tally.missing, "not in the project, or not chosen by the filters"),
    )
    return [f"{_tasks(tasks)} left out: {why}" for tasks, why in left_out if tasks]


def _tasks(tasks: int | list[int]) -> str:
    """How many tasks, and which if their ids are given."""
    if isinstance(tasks, int):
        return "1 task" if tasks == 1 else f"{tasks} tasks"
    ids = ", ".join(str(task) for task in tasks[:_SHOWN])
    more = ", ..." if len(tasks) > _SHOWN else ""
    return f"{_tasks(len(tasks))} ({ids}{more})"
