"""Schedule jobs: by priority, in fair turns, and with equal work of several jobs in one pass.

One thread works. Between two steps it looks again, and a job of a higher priority goes first.
Within a priority, jobs take turns. If several of them wait for equal work of the model, one pass
does it for all, up to a budget of tokens. A pass never waits for more jobs to come, and joins work
of one priority only, so that a batch does not slow down a click.
"""

from __future__ import annotations

import atexit
import logging
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any
from weakref import WeakKeyDictionary

from pam_labeling.errors import BusyError, ClosedError, DeadlineError
from pam_labeling.jobs import Job, Priority
from pam_labeling.work import Work

_log = logging.getLogger(__name__)

_Job = Job[Any, Any]


class _Pass:
    """One pass of the model for the work of one or several jobs."""

    is_ready = True

    def __init__(self, jobs: Sequence[_Job]) -> None:
        self.jobs = jobs
        self.is_over = False
        self.halves: list[_Pass] = []
        pieces = [job.work for job in jobs]
        assert pieces[0] is not None
        self._run = pieces[0].run(pieces)

    def advance(self) -> None:
        """Run to where other work may go first, or to the end, where each job gets its reply."""
        if all(job.is_pointless for job in self.jobs):
            self._end(len(self.jobs) * [None])
            return
        try:
            next(self._run)
        except StopIteration as end:
            self._end(end.value)
        except BaseException as error:  # noqa: BLE001 - the callers get what the model raises
            self._fail(error)

    def _end(self, results: Sequence[Any]) -> None:
        self.is_over = True
        self._run.close()
        for job, result in zip(self.jobs, results, strict=True):
            job.reply(result)

    def _fail(self, error: BaseException) -> None:
        """Fail a single job; try several again in halves, in case they can be done apart."""
        self.is_over = True
        middle = len(self.jobs) // 2
        if middle == 0:
            self.jobs[0].reply(error=error)
        else:
            _log.warning(
                "a pass of %d jobs failed and is tried again in halves: %r", len(self.jobs), error
            )
            self.halves = [_Pass(self.jobs[:middle]), _Pass(self.jobs[middle:])]


class _Line:
    """The jobs of one priority."""

    def __init__(self, priority: Priority, tokens: int, cost: int) -> None:
        self.waiting: deque[_Job] = deque()
        self.begun: deque[_Job | _Pass] = deque()  # the next one comes first
        self._fills_passes = priority is Priority.BATCH
        self._most_tokens = tokens
        self._most_cost = cost
        self._costs: dict[_Job, int] = {}  # the begun jobs' costs at their begin

    def jobs(self) -> list[_Job]:
        """All jobs that wait, are begun, or share a pass."""
        return [*self.waiting, *(job for turn in self.begun for job in _jobs(turn))]

    def take(self) -> _Job | _Pass | None:
        """Take the next job or pass out of the line; None if none can go on."""
        self._begin()
        ready = [turn for turn in self.begun if turn.is_ready]
        if not ready:
            return None
        # A click should not wait for others to catch up; a batch should fill its passes.
        leader = min(ready, key=_stage) if self._fills_passes else ready[0]
        members = self._joined(leader, ready)
        if not members:
            self.begun.remove(leader)
            return leader
        for job in members:
            self.begun.remove(job)
        return _Pass(members)

    def put_back(self, taken: _Job | _Pass) -> None:
        """Put what `take` returned, once it was advanced, at the end of the line."""
        if isinstance(taken, Job) and taken.is_over:
            self._costs.pop(taken, None)  # after `clear` it is not there
        self._begin()  # jobs that came meanwhile go first
        if not taken.is_over:
            self.begun.append(taken)
        elif isinstance(taken, _Pass):
            self.begun.extend(taken.halves or taken.jobs)

    def clear(self) -> list[_Job]:
        """Take all jobs out."""
        jobs = self.jobs()
        self.waiting.clear()
        self.begun.clear()
        self._costs.clear()
        return jobs

    def drop_pointless(self) -> list[_Job]:
        """Take out the waiting jobs that nobody waits for any more."""
        pointless = [job for job in self.waiting if job.is_pointless]
        self.waiting = deque(job for job in self.waiting if job not in pointless)
        return pointless

    def _begin(self) -> None:
        is_full = False
        for job in [job for job in self.waiting if job.is_ready]:
            # In their order, so that small jobs do not overtake a large one for ever. A job that
            # nobody waits for is only ended, and costs nothing.
            is_full = is_full or not self._has_room(job)
            if not is_full or job.is_pointless:
                self.waiting.remove(job)
                self._costs[job] = 0 if job.is_pointless else job.cost
                self.begun.append(job)

    def _has_room(self, job: _Job) -> bool:
        if sum(self._costs.values()) + job.cost <= self._most_cost:
            return True
        # Jobs that pause because nobody takes their events must not hold up the others for ever.
        return not any(other.is_ready for other, cost in self._costs.items() if cost)

    def _joined(self, leader: _Job | _Pass, ready: Sequence[_Job | _Pass]) -> list[_Job]:
        """The leader and the jobs that share its pass; none if it wants no work of the model."""
        wanted = _wanted(leader)
        if wanted is None:
            return []
        members, tokens = [], wanted.tokens
        for turn in ready:
            work = _wanted(turn)
            if turn is leader:
                members.append(turn)
            elif (
                work is not None
                and work.kind == wanted.kind
                and tokens + work.tokens <= self._most_tokens
            ):
                members.append(turn)
                tokens += work.tokens
        return [job for job in members if isinstance(job, Job)]


def _jobs(turn: _Job | _Pass) -> Sequence[_Job]:
    return [turn] if isinstance(turn, Job) else turn.jobs


def _wanted(turn: _Job | _Pass) -> Work[Any] | None:
    """The work that a job waits for; None for a pass, and for a job that nobody waits for."""
    return None if isinstance(turn, _Pass) or turn.is_pointless else turn.work


def _stage(turn: _Job | _Pass) -> int:
    """The order in a batch: first a begun pass, then small steps, then the stages in order."""
    wanted = _wanted(turn)
    return -2 if isinstance(turn, _Pass) else -1 if wanted is None else wanted.stage


class WorkQueue:
    """Jobs by priority; safe to use from any thread.

    Args:
        size: how many jobs of each priority may wait to begin; a batch takes no places of clicks.
        tokens_per_pass: the most tokens in a pass of several jobs; a larger piece goes alone.
        cost: the most that all begun jobs of a priority may cost together; a more expensive job
            goes alone. It bounds what the jobs hold on the device, and how long the first of them
            waits for the others.
    """

    def __init__(self, size: int, *, tokens_per_pass: int = 1 << 15, cost: int = 32) -> None:
        if size < 1:
            raise ValueError(f"the queue size must be 1 or more, not {size}")
        if tokens_per_pass < 1:
            raise ValueError(f"tokens_per_pass must be 1 or more, not {tokens_per_pass}")
        self.size = size
        self._lines = {priority: _Line(priority, tokens_per_pass, cost) for priority in Priority}
        self._changed = threading.Condition()
        self._closed = False

    def __len__(self) -> int:
        with self._changed:
            return sum(len(line.jobs()) for line in self._lines.values())

    def put(self, job: _Job, *, wait: bool = False) -> None:
        """Let a job wait for its turn.

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
                self._changed.wait(job.seconds_left)
                if job.is_late:
                    raise DeadlineError("no place in the queue became free in time")
            if self._closed:
                raise ClosedError("the annotator is closed")
            line.waiting.append(job)
            job.wake = self._wake
            self._changed.notify_all()

    def start_worker(self, name: str) -> threading.Thread:
        """Start a thread that works; it also ends, after its step, when Python does."""
        worker = threading.Thread(target=self.work, name=name, daemon=True)
        worker.start()
        _WORKERS[worker] = self
        return worker

    def work(self) -> None:
        """Advance jobs in this thread until the queue is closed."""
        while (taken := self._take()) is not None:
            line, turn = taken
            try:
                turn.advance()
            except BaseException:  # noqa: BLE001 - futures pass on a SystemExit of their callbacks
                _log.exception("a callback of a request tried to end the worker; it goes on")
            self._put_back(line, turn)

    def close(self) -> None:
        """Accept no more jobs, and fail the waiting ones; do not interrupt the step in progress."""
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
        # Outside the lock, because failing a future runs its callbacks.
        for job in dropped:
            job.advance()

    def _has_place(self, line: _Line) -> bool:
        waiting = sum(not job.is_pointless for job in line.waiting)
        return self._closed or waiting < self.size

    def _seconds_to_next_deadline(self) -> float | None:
        left = (job.seconds_left for line in self._lines.values() for job in line.jobs())
        return min((seconds for seconds in left if seconds is not None), default=None)


def _close(jobs: Sequence[_Job]) -> None:
    for job in jobs:
        try:
            job.fail(ClosedError("the annotator was closed"))
        except BaseException:  # noqa: BLE001, PERF203 - a callback's error; the other jobs fail too
            _log.exception("a callback of a request failed while the annotator was closed")


_WORKERS: WeakKeyDictionary[threading.Thread, WorkQueue] = WeakKeyDictionary()
"""The worker threads of this process, and their queues."""


@atexit.register
def _end_workers() -> None:
    """End the workers that nobody closed: Python aborts if a thread is inside torch as it ends."""
    for worker, queue in list(_WORKERS.items()):
        queue.close()
        worker.join()
