"""The queue of jobs: by priority, in fair turns, with equal work of several jobs in one pass.

One thread works. After each step it chooses again, and jobs of a higher priority go first. Within a
priority jobs take turns. If several of them wait for equal work of the model, one pass does it for
all, up to a budget of tokens. A pass never waits for more jobs to come, and only joins work of one
priority, so that a batch does not slow down a click.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Sequence
from typing import Any

from pam_labeling.errors import BusyError, ClosedError, DeadlineError
from pam_labeling.jobs import Job, Priority

_log = logging.getLogger(__name__)

_Job = Job[Any, Any]


class _Pass:
    """One pass of the model for the work of one or several jobs."""

    def __init__(self, jobs: Sequence[_Job]) -> None:
        self.jobs = jobs
        self.is_over = False
        self.halves: list[_Pass] = []
        pieces = [job.work for job in jobs]
        assert pieces[0] is not None
        self._run = pieces[0].run(pieces)

    @property
    def is_ready(self) -> bool:
        return True

    def advance(self) -> None:
        """Go on to the next pause or to the end; at the end each job has its reply."""
        if all(job.is_pointless for job in self.jobs):  # nobody reads the results
            self._end(len(self.jobs) * [None])
            return
        try:
            next(self._run)
        except StopIteration as end:
            self._end(end.value)
        except BaseException as error:  # noqa: BLE001 - whatever a model raises is its caller's
            self._fail(error)

    def _end(self, results: Sequence[Any]) -> None:
        self.is_over = True
        self._run.close()
        for job, result in zip(self.jobs, results, strict=True):
            job.reply(result)

    def _fail(self, error: BaseException) -> None:
        """Fail a single job; of several, try each half: one bad piece must not fail the others."""
        self.is_over = True
        middle = len(self.jobs) // 2
        if middle == 0:
            self.jobs[0].reply(error=error)
        else:
            _log.warning("a pass of %d jobs failed and is tried in halves: %r", 2 * middle, error)
            self.halves = [_Pass(self.jobs[:middle]), _Pass(self.jobs[middle:])]


class _Line:
    """The jobs of one priority."""

    def __init__(self, priority: Priority, tokens: int, cost: int) -> None:
        self.waiting: deque[_Job] = deque()
        self.active: deque[_Job] = deque()  # the next one first
        self.passes: deque[_Pass] = deque()
        self._fills_passes = priority is Priority.BATCH
        self._most_tokens = tokens
        self._most_cost = cost
        self._cost = 0  # of the jobs that were admitted and are not over

    def __len__(self) -> int:
        return len(self.waiting) + len(self.active) + sum(len(one.jobs) for one in self.passes)

    def take(self) -> _Job | _Pass | None:
        """Take out what goes on next; None if nothing can."""
        self._admit()
        if self.passes:
            return self.passes.popleft()
        ready = [job for job in self.active if job.is_ready]
        if not ready:
            return None
        # A click should not wait for others to catch up; a batch should fill its passes.
        leader = min(ready, key=_stage) if self._fills_passes else ready[0]
        members = self._joined(leader, ready)
        for job in members:
            self.active.remove(job)
        return leader if _works_alone(leader) else _Pass(members)

    def put_back(self, taken: _Job | _Pass) -> None:
        """Put back what `take` returned, at the end of the line, after it was advanced."""
        if isinstance(taken, Job):
            if taken.is_over:
                self._cost -= taken.cost
            else:
                self.active.append(taken)
        elif not taken.is_over:
            self.passes.append(taken)
        else:
            self.passes.extend(taken.halves)
            if not taken.halves:
                self.active.extend(taken.jobs)

    def clear(self) -> list[_Job]:
        """Take everything out."""
        jobs = [*self.waiting, *self.active, *(job for one in self.passes for job in one.jobs)]
        for part in (self.waiting, self.active, self.passes):
            part.clear()
        return jobs

    def drop_pointless(self) -> list[_Job]:
        """Take out the waiting jobs whose callers have gone."""
        pointless = [job for job in self.waiting if job.is_pointless]
        self.waiting = deque(job for job in self.waiting if job not in pointless)
        return pointless

    def _admit(self) -> None:
        for job in [job for job in self.waiting if job.is_ready]:
            # In their order, so that small jobs do not overtake a large one for ever.
            if self._cost and self._cost + job.cost > self._most_cost:
                return
            self.waiting.remove(job)
            self._cost += job.cost
            self.active.append(job)

    def _joined(self, leader: _Job, ready: Sequence[_Job]) -> list[_Job]:
        """The leader, and the jobs that share its pass."""
        if _works_alone(leader) or leader.work is None:
            return [leader]
        members, tokens, kind = [leader], leader.work.tokens, leader.work.kind
        for job in ready:
            work = None if job is leader or job.is_pointless else job.work
            if work is not None and work.kind == kind and tokens + work.tokens <= self._most_tokens:
                members.append(job)
                tokens += work.tokens
        return members


def _works_alone(job: _Job) -> bool:
    return job.is_pointless or job.work is None


def _stage(job: _Job) -> int:
    return -1 if _works_alone(job) or job.work is None else job.work.stage


class WorkQueue:
    """Jobs by priority; any thread may use it.

    Args:
        size: how many jobs of each priority may wait to begin. Each priority has its own places:
            a batch cannot fill those of clicks.
        tokens_per_pass: how much equal work of several jobs is joined; a larger piece goes alone.
        cost: the most that the running jobs of a priority may cost together; a job that costs more
            runs alone. It limits what they hold on the device, and how long the first waits for
            the others.
    """

    def __init__(self, size: int, *, tokens_per_pass: int = 1 << 15, cost: int = 32) -> None:
        if size < 1:
            raise ValueError(f"the queue size is a number from 1, not {size}")
        if tokens_per_pass < 1:
            raise ValueError(f"tokens_per_pass is a number from 1, not {tokens_per_pass}")
        self.size = size
        self._lines = {priority: _Line(priority, tokens_per_pass, cost) for priority in Priority}
        self._changed = threading.Condition()
        self._closed = False

    def __len__(self) -> int:
        with self._changed:
            return sum(len(line) for line in self._lines.values())

    def put(self, job: _Job, *, wait: bool = False) -> None:
        """Let a job wait its turn.

        Args:
            job: the job.
            wait: whether to wait for a free place, until the job's deadline.

        Raises:
            BusyError: no place is free and `wait` is false.
            DeadlineError: no place became free in time.
            ClosedError: the queue is closed.
        """
        line = self._lines[job.priority]
        self._drop_pointless()
        with self._changed:
            if not self._has_place(line) and not wait:
                raise BusyError(f"{self.size} requests are waiting already; try again in a moment")
            while not self._has_place(line):
                self._changed.wait(None if job.deadline is None else _seconds_until(job.deadline))
                if job.is_late:
                    raise DeadlineError("no place in the queue became free in time")
            if self._closed:
                raise ClosedError("the annotator is closed")
            line.waiting.append(job)
            job.wake = self._wake
            self._changed.notify_all()

    def work(self) -> None:
        """Advance jobs in this thread until the queue is closed."""
        while (taken := self._take()) is not None:
            line, turn = taken
            try:
                turn.advance()
            except BaseException:  # noqa: BLE001 - a future lets SystemExit of its callbacks through
                _log.exception("a callback of a request tried to end the worker; it goes on")
            self._put_back(line, turn)

    def close(self) -> None:
        """Accept no more jobs, and fail those that wait. The step in progress is finished."""
        with self._changed:
            self._closed = True
            dropped = [job for line in self._lines.values() for job in line.clear()]
            self._changed.notify_all()
        _close(dropped)

    def _take(self) -> tuple[_Line, _Job | _Pass] | None:
        with self._changed:
            while not self._closed:
                for line in self._lines.values():
                    turn = line.take()
                    if turn is not None:
                        self._changed.notify_all()  # a place may have become free
                        return line, turn
                self._changed.wait(self._seconds_to_next_deadline())
            return None

    def _put_back(self, line: _Line, turn: _Job | _Pass) -> None:
        with self._changed:
            line.put_back(turn)
            dropped = line.clear() if self._closed else []
        _close(dropped)

    def _wake(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _drop_pointless(self) -> None:
        with self._changed:
            dropped = [job for line in self._lines.values() for job in line.drop_pointless()]
        # Outside the lock: failing a future runs its callbacks.
        for job in dropped:
            job.advance()

    def _has_place(self, line: _Line) -> bool:
        waiting = sum(not job.is_pointless for job in line.waiting)
        return self._closed or waiting < self.size

    def _seconds_to_next_deadline(self) -> float | None:
        deadlines = [
            job.deadline
            for line in self._lines.values()
            for job in (*line.waiting, *line.active)
            if job.deadline is not None
        ]
        return _seconds_until(min(deadlines)) if deadlines else None


def _seconds_until(deadline: float) -> float:
    return min(max(0.0, deadline - time.monotonic()), threading.TIMEOUT_MAX)


def _close(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        job.fail(ClosedError("the annotator was closed"))
