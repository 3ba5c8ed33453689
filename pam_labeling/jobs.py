"""Jobs, which the worker does step by step for a caller.

A job's steps are a generator. Each value that it yields says what it needs before it can go on:

    None        nothing; the worker may let other jobs go first
    Emit        nothing; the event goes to the caller, who iterates over the job
    Future      data that another thread makes, such as an image; its result is sent back
    Work        a piece of the model's work, see `pam_labeling.work`; its result is sent back
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Generic, TypeVar, Union, cast

from pam_labeling.errors import DeadlineError
from pam_labeling.work import Work

Event = TypeVar("Event")
Result = TypeVar("Result")

LATE = "the time for this request ran out before its work was done"


class Priority(IntEnum):
    """Which jobs go first."""

    CLICK = 0
    """A person at the screen waits for one answer."""
    WATCHED = 1
    """A person watches longer work, such as that for a task that was just opened."""
    BATCH = 2
    """Stands for a job that nobody watches."""

    INTERACTIVE = CLICK
    """The name of `CLICK` in version 0.1."""


@dataclass(frozen=True)
class Emit(Generic[Event]):
    """An event for the caller who iterates over the job."""

    event: Event


Step = Union[Work[Any], "Future[Any]", Emit[Event], None]


class Job(Generic[Event, Result]):
    """Steps, the events that they emit, and their result.

    Iterate to get the events as they come, until the job ends or fails; `result` then returns the
    result or raises the error. A job with a full outbox pauses until an event is taken. To leave
    the loop early, call `cancel`; the step in progress is finished first.

    Args:
        steps: a generator that yields steps and returns the result.
        priority: see `Priority`.
        deadline: the `time.monotonic()` after which the job fails with `DeadlineError`, or None.
        cost: the number of regions whose features the job holds at once; it limits how many jobs
            run side by side. It may be changed until the job begins.
        outbox: how many events may wait for the caller; with 0, events are dropped.
        after: a future that must be done before the job begins; its error becomes the job's.

    Attributes:
        future: gets the result or the error. Until then it is pending, so it can be cancelled at
            any time; the remaining steps are then skipped.
        is_over: whether the future is done and no step is left.
        wants: the last value that the steps yielded, if it was a `Work` or a `Future`.
        wake: is called when the job may be ready again; set by the queue that holds the job.
    """

    def __init__(
        self,
        steps: Generator[Step[Event], Any, Result],
        priority: Priority,
        deadline: float | None = None,
        *,
        cost: int = 1,
        outbox: int = 0,
        after: Future[Any] | None = None,
    ) -> None:
        self.priority = priority
        self.deadline = deadline
        self.cost = cost
        self.future: Future[Result] = Future()
        self.wants: Work[Any] | Future[Any] | None = after
        self.wake: Callable[[], None] = _nobody
        self._steps = steps
        self._reply: tuple[Any, BaseException | None] | None = (None, None)
        self._outbox: deque[Event] = deque()
        self._outbox_size = outbox
        self._changed = threading.Condition()
        self._begun = False
        self.is_over = False
        self.future.add_done_callback(lambda _: self._tell())
        if after is not None:
            after.add_done_callback(lambda _: self.wake())

    # For the caller.

    def __iter__(self) -> Iterator[Event]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._outbox or self.future.done())
                if not self._outbox:
                    return
                event = self._outbox.popleft()
            self.wake()
            yield event

    def result(self, timeout: float | None = None) -> Result:
        """Wait for the result.

        Raises:
            TimeoutError: it took longer than `timeout` seconds.
            CancelledError: the job was cancelled.
            Exception: the error that ended the steps.
        """
        return self.future.result(timeout)

    def cancel(self) -> bool:
        """Skip the remaining steps. Return False if the job was over already."""
        return self.future.cancel()

    # For the worker.

    @property
    def is_late(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and time.monotonic() >= self.deadline

    @property
    def seconds_left(self) -> float | None:
        """Seconds to the deadline, from 0 to a thread's longest wait; None without a deadline."""
        if self.deadline is None:
            return None
        return min(max(0.0, self.deadline - time.monotonic()), threading.TIMEOUT_MAX)

    @property
    def is_pointless(self) -> bool:
        """Whether the job was cancelled or its deadline has passed, so that nobody waits for it."""
        return self.future.cancelled() or self.is_late

    @property
    def is_ready(self) -> bool:
        """Whether the worker can go on with the job now, or must end it."""
        if self.is_pointless:
            return True
        if isinstance(self.wants, Future):
            return self.wants.done()
        return self._outbox_size == 0 or len(self._outbox) < self._outbox_size

    @property
    def work(self) -> Work[Any] | None:
        """The piece of the model's work that the job waits for, or None."""
        return self.wants if isinstance(self.wants, Work) and self._reply is None else None

    def reply(self, value: Any = None, error: BaseException | None = None) -> None:
        """Set the result or error of the work that the job waits for; `advance` goes on with it."""
        self._reply = value, error

    def advance(self) -> None:
        """Run to the next step that needs something or takes time, or to the end."""
        if self.is_pointless:
            self.fail(DeadlineError(LATE))
            return
        try:
            self._run()
        except StopIteration as end:
            self.is_over = True
            if self.future.set_running_or_notify_cancel():
                self.future.set_result(cast("Result", end.value))
        except BaseException as error:  # noqa: BLE001 - the caller gets the error, and the worker goes on
            self.fail(_late(error) if isinstance(error, TimeoutError) and self.is_late else error)

    def fail(self, error: BaseException) -> None:
        """End the future with an error, unless it has ended already, and drop the steps."""
        if self.is_over:
            return
        self.is_over = True
        self.wants = self._reply = None  # they may hold features, which the job would keep alive
        self._steps.close()
        # This is false if the caller cancelled: a cancelled future takes no result.
        if self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)

    def _run(self) -> None:
        if isinstance(self.wants, Future):
            self._reply = _outcome(self.wants)
        value, error = self._reply or (None, None)
        self._reply = self.wants = None
        if not self._begun:
            self._begun, value = True, None  # the first value sent to a generator must be None
        step = self._steps.send(value) if error is None else self._steps.throw(error)
        # Events take no time: go on until the outbox is full or the steps need something.
        while isinstance(step, Emit) and self._emit(step.event):
            step = next(self._steps)
        if isinstance(step, Future):  # it must wake the queue
            step.add_done_callback(lambda _: self.wake())
        if step is None or isinstance(step, Emit):
            self._reply = None, None
        else:
            self.wants = step

    def _emit(self, event: Event) -> bool:
        """Put an event into the outbox, and say whether there is room for more."""
        if self._outbox_size == 0:
            return True
        with self._changed:
            self._outbox.append(event)
            self._changed.notify_all()
            return len(self._outbox) < self._outbox_size

    def _tell(self) -> None:
        with self._changed:
            self._changed.notify_all()
        self.wake()


def _outcome(future: Future[Any]) -> tuple[Any, BaseException | None]:
    try:
        return future.result(), None
    except BaseException as error:  # noqa: BLE001 - it is thrown into the steps, which may handle it
        return None, error


def _late(cause: TimeoutError) -> DeadlineError:
    error = DeadlineError(LATE)
    error.__cause__ = cause
    return error


def _nobody() -> None:
    """The `wake` of a job that is in no queue."""
