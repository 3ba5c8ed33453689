"""Whose turn it is: a bounded queue of work that is done step by step, interactive work first."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from concurrent.futures import Future
from dataclasses import dataclass, field
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pam_labeling.errors import BusyError, ClosedError, DeadlineError

if TYPE_CHECKING:
    from collections.abc import Generator

T = TypeVar("T")

_log = logging.getLogger(__name__)
_LATE = "the time for this request was over before its work was"


class Priority(IntEnum):
    """Who is served first: somebody who waits at a screen, or a batch."""

    INTERACTIVE = 0
    BATCH = 1


@dataclass(eq=False)
class Job(Generic[T]):
    """Work in steps, and the future its caller waits for.

    The future stays pending until the work is over, so that its caller can cancel it at any time;
    the steps that are left are then skipped.

    Attributes:
        steps: yields between the steps and returns the result.
        priority: see `Priority`.
        deadline: `time.monotonic()` after which nobody waits any more, or None.
        future: gets the result, or the error.
        started: whether a step was done already.
    """

    steps: Generator[None, None, T]
    priority: Priority
    deadline: float | None = None
    future: Future[T] = field(default_factory=Future)
    started: bool = False

    def is_pointless(self) -> bool:
        """Whether the caller has gone: cancelled, or past the deadline."""
        return self.future.cancelled() or self.is_late()

    def is_late(self) -> bool:
        """Whether the deadline is past."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    def advance(self) -> bool:
        """Do one step; true when the work is over and the future answered, well or badly."""
        if self.is_pointless():
            self.fail(DeadlineError(_LATE))
            return True
        self.started = True
        try:
            next(self.steps)
        except StopIteration as end:
            self._settle(result=end.value)
        except BaseException as error:  # noqa: BLE001 - whatever a model raises is its caller's, and the worker lives on
            self.fail(_late(error) if isinstance(error, TimeoutError) and self.is_late() else error)
        else:
            return False
        return True

    def fail(self, error: BaseException) -> None:
        """Answer the future with an error, unless it was cancelled, and drop the steps."""
        self.steps.close()
        self._settle(error=error)

    def _settle(self, *, result: T | None = None, error: BaseException | None = None) -> None:
        if not self.future.set_running_or_notify_cancel():
            return
        if error is not None:
            self.future.set_exception(error)
        else:
            self.future.set_result(result)  # type: ignore[arg-type]  # T itself may be None


def _late(cause: TimeoutError) -> DeadlineError:
    error = DeadlineError(_LATE)
    error.__cause__ = cause
    return error


class WorkQueue:
    """Jobs by priority, and in the order they came; safe to use from any thread.

    Attributes:
        size: how many jobs of each priority may wait. A batch cannot fill the places of
            interactive work.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError(f"the queue size is a number from 1, not {size}")
        self.size = size
        self._jobs: list[tuple[Priority, int, Job[Any]]] = []  # a heap
        self._order = itertools.count()
        self._changed = threading.Condition()
        self._closed = False

    def __len__(self) -> int:
        with self._changed:
            return len(self._jobs)

    def put(self, job: Job[Any], *, wait: bool = False) -> None:
        """Let a job wait its turn.

        Args:
            job: the job.
            wait: whether to wait for a free place, until the job's deadline.

        Raises:
            BusyError: no place is free and `wait` is false.
            DeadlineError: no place became free in time.
            ClosedError: the queue is closed.
        """
        self._drop_pointless()
        with self._changed:
            if not self._has_place(job.priority) and not wait:
                raise BusyError(f"{self.size} requests are waiting already; try again in a moment")
            while not self._has_place(job.priority):
                # Places also become free when a waiting job is cancelled, which nobody announces.
                self._changed.wait(0.1)
                if job.is_late():
                    raise DeadlineError("no place in the queue became free in time")
            if self._closed:
                raise ClosedError("the annotator is closed")
            heapq.heappush(self._jobs, (job.priority, next(self._order), job))
            self._changed.notify_all()

    def work(self) -> None:
        """Do the jobs' steps in this thread until the queue is closed.

        After each step the first in line goes on: a job of higher priority, or the same one.
        """
        while (entry := self._take()) is not None:
            self._survive(entry)

    def close(self) -> None:
        """Accept no more, and fail what waits. The step in progress is not interrupted."""
        with self._changed:
            self._closed = True
            dropped, self._jobs = self._jobs, []
            self._changed.notify_all()
        for _, _, job in dropped:
            job.fail(ClosedError("the annotator was closed"))

    def _survive(self, entry: tuple[Priority, int, Job[Any]]) -> None:
        try:
            self._advance(entry)
        except BaseException:  # noqa: BLE001 - a future lets SystemExit of its callbacks through
            _log.exception("a callback of a request tried to end the worker; it goes on")

    def _advance(self, entry: tuple[Priority, int, Job[Any]]) -> None:
        if entry[2].advance():
            return
        with self._changed:
            if not self._closed:
                heapq.heappush(self._jobs, entry)
                return
        entry[2].fail(ClosedError("the annotator was closed"))

    def _take(self) -> tuple[Priority, int, Job[Any]] | None:
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._jobs)
            if self._closed:
                return None
            entry = heapq.heappop(self._jobs)
            self._changed.notify_all()
            return entry

    def _drop_pointless(self) -> None:
        with self._changed:
            pointless = [entry for entry in self._jobs if entry[2].is_pointless()]
            self._jobs = [entry for entry in self._jobs if entry not in pointless]
            heapq.heapify(self._jobs)
        # Outside the lock: failing a future runs its callbacks.
        for _, _, job in pointless:
            job.fail(DeadlineError(_LATE))

    def _has_place(self, priority: Priority) -> bool:
        if self._closed:
            return True
        waiting = [job for _, _, job in self._jobs if job.priority == priority and not job.started]
        return sum(not job.is_pointless() for job in waiting) < self.size
