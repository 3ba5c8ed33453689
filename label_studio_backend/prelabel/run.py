"""One run over a project: list, predict and write at the same time, and stop cleanly.

    feeder thread       TaskSource -> queue of a few tasks
    predicting threads  task -> prediction: they fetch the next images while the model works
    calling thread      prediction -> PredictionSink, one write at a time

Nothing is kept between runs: what is done is what Label Studio has.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

from label_studio_backend.api_client import RefusedError, StoppedError

if TYPE_CHECKING:
    from label_studio_backend.prelabel.sink import PredictionSink, Written
    from label_studio_backend.prelabel.source import Todo

AHEAD = 4
"""Tasks under way at once: one with the model, the others fetching their images."""

_TICK = 0.2  # seconds between looks at the wish to stop

_log = logging.getLogger(__name__)

Predict = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""From a task to its prediction; what it raises is that task's failure."""


@dataclass(frozen=True)
class Failure:
    """A task that has no prediction now, and why."""

    task: int
    reason: str


class Watcher(Protocol):
    """Is told what happens, in the thread that runs."""

    def wrote(self, written: Written) -> None:
        """A prediction is in Label Studio."""

    def failed(self, failure: Failure) -> None:
        """A task failed."""

    def tick(self) -> None:
        """Some time has passed."""


@dataclass(frozen=True)
class _Done:
    todo: Todo
    prediction: Mapping[str, Any] | None
    error: Exception | None = None


class Run:
    """Predicts tasks and writes their predictions.

    Args:
        source: the tasks.
        predict: is called in several threads at once.
        sink: where predictions go.
        watcher: is told of each task.
        stop: ends the run when it is set: what is finished is still written.
        limit: no more tasks than this.
        ahead: see `AHEAD`.
    """

    def __init__(
        self,
        source: Iterable[Todo],
        predict: Predict,
        sink: PredictionSink,
        watcher: Watcher,
        *,
        stop: threading.Event,
        limit: int | None = None,
        ahead: int = AHEAD,
    ) -> None:
        self._source = source
        self._predict = predict
        self._sink = sink
        self._watcher = watcher
        self._stop = stop
        self._limit = limit
        self._ahead = ahead
        self._abandoned = threading.Event()
        self._tasks: queue.Queue[Todo | None] = queue.Queue(ahead)
        self._finished: queue.Queue[_Done | Exception | None] = queue.Queue(2 * ahead)

    def __call__(self) -> None:
        """Run to the end, or until `stop` is set.

        Raises:
            ApiFailure: Label Studio cannot be used any more. Predictions that are not written
                are not lost for the next run: it sees which tasks have none.
        """
        threads = [threading.Thread(target=self._feed, name="prelabel-feeder", daemon=True)]
        for number in range(self._ahead):
            name = f"prelabel-{number}"
            threads.append(threading.Thread(target=self._work, name=name, daemon=True))
        for thread in threads:
            thread.start()
        try:
            self._write_all()
            self._sink.settle()
        finally:
            self._abandoned.set()  # threads that still predict end without anyone waiting

    def _write_all(self) -> None:
        working = self._ahead
        while working:
            try:
                done = self._finished.get(timeout=_TICK)
            except queue.Empty:
                if self._stop.is_set():
                    return
                self._watcher.tick()
                continue
            if isinstance(done, Exception):
                raise done
            if done is None:
                working -= 1
            else:
                self._write(done)

    def _write(self, done: _Done) -> None:
        todo = done.todo
        if done.prediction is None:
            self._watcher.failed(Failure(todo.id, _reason(done.error)))
            return
        try:
            written = self._sink.write(todo.id, done.prediction, todo.replaces)
        except RefusedError as error:
            self._watcher.failed(Failure(todo.id, str(error)))
        else:
            self._watcher.wrote(written)

    def _feed(self) -> None:
        try:
            for todo in islice(self._source, self._limit):
                if not self._put(self._tasks, todo):
                    return
            for _ in range(self._ahead):
                self._put(self._tasks, None)
        except StoppedError:
            return
        except Exception as error:  # noqa: BLE001 - raised again in the thread that runs
            self._put(self._finished, error)

    def _work(self) -> None:
        while (todo := self._take()) is not None:
            self._put(self._finished, self._try(todo))
        self._put(self._finished, None)

    def _try(self, todo: Todo) -> _Done:
        try:
            return _Done(todo, self._predict(todo.task))
        except Exception as error:  # noqa: BLE001 - reported as this task's failure
            _log.debug("task %d failed", todo.id, exc_info=True)
            return _Done(todo, None, error)

    def _take(self) -> Todo | None:
        while not (self._stop.is_set() or self._abandoned.is_set()):
            with suppress(queue.Empty):
                return self._tasks.get(timeout=_TICK)
        return None

    def _put(self, where: queue.Queue[Any], what: object) -> bool:
        while not self._abandoned.is_set():
            with suppress(queue.Full):
                where.put(what, timeout=_TICK)
                return True
        return False


def _reason(error: Exception | None) -> str:
    """One line. Errors that are not meant for people are named, too."""
    text = " ".join(str(error).split())
    expected = isinstance(error, (ValueError, RuntimeError, OSError)) and text
    return text if expected else f"{type(error).__name__}: {text}".rstrip(": ")
