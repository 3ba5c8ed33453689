"""Pre-annotation of many tasks at once, within the time that Label Studio waits.

A thread of its own works on each batch. The request is answered when all tasks are done or its time
is over, with what is finished; the rest goes on and is found in the result cache when Label Studio
asks again. While predictions that nobody has fetched fill `PAM_RESULT_CACHE_BYTES`, the rest waits.

A task without a prediction is answered with `{"error": sentence}`. Label Studio writes an entry
without `result` into its log, saves nothing for that task, and saves the predictions of the others;
the next request for predictions has that task in it again.
"""

from __future__ import annotations

import logging
import threading
import time
from concurrent import futures
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from label_studio_backend.errors import RequestError
from label_studio_backend.json_pieces import Json
from label_studio_backend.server.bodies import read_task
from label_studio_backend.server.result_cache import ResultCache, result_key
from label_studio_backend.translation.translator import name_of
from pam_labeling import ClosedError, Priority
from pam_labeling.errors import BusyError, DeadlineError, PamError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence
    from concurrent.futures import Future

    from label_studio_backend.config.labeling_config import LabelingConfig
    from label_studio_backend.predictor import Prediction, Predictor
    from label_studio_backend.server.projects import Project
    from label_studio_backend.settings import ServerSettings

_TICK = 1.0  # seconds between looks whether the batch has become too old, or the backend closed

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Batch:
    """The tasks of one request that no other request has in work.

    Attributes:
        tasks: their JSON by their keys; whoever settles a task takes it out.
        config: the labelling config.
        project: what is known of the project.
        priority: see `Priority`.
        until: `time.monotonic()` after which the rest is given up.
    """

    tasks: dict[bytes, bytes]
    config: LabelingConfig
    project: Project
    priority: Priority
    until: float


class Batches:
    """Works on batches in threads of its own.

    Args:
        predictor: predicts the tasks.
        results: where predictions go.
        settings: limits of time and number.
    """

    def __init__(
        self, predictor: Predictor, results: ResultCache, settings: ServerSettings
    ) -> None:
        self._predictor = predictor
        self._results = results
        self._background_seconds = settings.background_seconds
        self._places = threading.BoundedSemaphore(4 * settings.predictions)
        self._closed = threading.Event()

    def close(self) -> None:
        """Begin no further task."""
        self._closed.set()

    def predict(
        self,
        tasks: Sequence[Json],
        config: LabelingConfig,
        project: Project,
        key: str,
        deadline: float,
    ) -> list[Prediction]:
        """A prediction, or `{"error": sentence}`, for each task, at the latest at `deadline`.

        Args:
            tasks: with their annotations, drafts and predictions.
            config: the labelling config.
            project: what is known of the project.
            key: the project's key.
            deadline: `time.monotonic()`.

        Raises:
            BusyError: too many batches are being worked on in the background.
        """
        # Whose rights an image was fetched with is part of what a prediction is made from.
        access = (project.access.host, project.access.token)
        context = (config.xml, repr(project.options), self._predictor.model_version, key, access)
        names, keys = [], []
        for number, raw in enumerate(tasks, start=1):
            # One task at a time: all of them, decoded, would take many times the body's memory.
            try:
                task = read_task(raw)
                task_key = result_key(task, *context)
            except RequestError:  # noqa: PERF203 - told when its turn comes, as this task's failure
                names.append(f"number {number} of the batch")
                keys.append(result_key({"data": blake2b(raw.text).hexdigest()}, *context))
            else:
                names.append(name_of(task))
                keys.append(task_key)
        waiting: list[Future[Prediction]] = []
        mine: dict[bytes, bytes] = {}
        for raw, task_key in zip(tasks, keys, strict=True):
            future, is_mine = self._results.claim(task_key)
            waiting.append(future)
            if is_mine:
                mine[task_key] = raw.text  # a copy: `raw` would keep the whole body in memory
        done: set[Future[Prediction]] = set()
        try:
            if mine:
                # Somebody waits at the screen for a single task.
                priority = Priority.WATCHED if len(tasks) == 1 else Priority.BATCH
                until = deadline + self._background_seconds
                self._start(_Batch(mine, config, project, priority, until))
            done = futures.wait(waiting, max(0.0, deadline - time.monotonic())).done
            return [
                self._answer(name, future if future in done else None)
                for name, future in zip(names, waiting, strict=True)
            ]
        finally:
            for task_key, future in zip(keys, waiting, strict=True):
                self._results.leave(task_key, fetched=future in done)

    def _start(self, batch: _Batch) -> None:
        """Work on a batch in a thread, which gives its place back at the end."""
        if not self._places.acquire(blocking=False):
            error = BusyError("too many batches go on in the background; wait for them")
            self._fail(batch.tasks, error)
            raise error
        try:
            thread = threading.Thread(
                target=self._work, args=(batch,), name="pam-batch", daemon=True
            )
            thread.start()
        except Exception as error:  # the machine has no more threads
            self._places.release()
            self._fail(batch.tasks, error)
            raise

    def _work(self, batch: _Batch) -> None:
        try:
            self._predict_where_room(batch)
            while batch.tasks:
                _log.warning(
                    "%d tasks of a batch wait: predictions that Label Studio has not fetched fill "
                    "PAM_RESULT_CACHE_BYTES (%d bytes); retrieve predictions again, or raise it",
                    len(batch.tasks),
                    self._results.max_bytes,
                )
                while not self._results.wait_for_room(batch.tasks, _TICK):
                    self._check_open(batch)
                self._predict_where_room(batch)
        except Exception as error:  # noqa: BLE001 - told to all who wait for the tasks that are left
            self._fail(batch.tasks, error)
        finally:
            self._places.release()

    def _predict_where_room(self, batch: _Batch) -> None:
        """Go through the tasks once; those that must wait for room stay in the batch."""
        project = batch.project
        # Asked for each task when its turn comes near, because what was finished before takes room.
        tasks = (
            (task_key, partial(self._read, batch, task_key))
            for task_key in list(batch.tasks)
            if self._results.may_begin(task_key)
        )
        for task_key, result in self._predictor.predict_many(
            tasks,
            batch.config,
            project.options,
            project.access,
            priority=batch.priority,
            loading_seconds=max(0.0, batch.until - time.monotonic()),
        ):
            del batch.tasks[task_key]
            try:
                if isinstance(result, Exception):
                    raise result
                self._results.finish(task_key, result)
            except Exception as error:  # noqa: BLE001 - this task's failure; the others go on
                self._fail([task_key], error)

    def _read(self, batch: _Batch, task_key: bytes) -> Mapping[str, Any]:
        self._check_open(batch)
        return read_task(Json(batch.tasks[task_key]))

    def _check_open(self, batch: _Batch) -> None:
        if self._closed.is_set():
            raise ClosedError("the backend was closed")
        if time.monotonic() > batch.until:
            raise DeadlineError("nobody asked for this batch again: its rest was given up")

    def _fail(self, task_keys: Collection[bytes], error: Exception) -> None:
        if not isinstance(error, PamError):
            _log.error("a task of a batch failed", exc_info=error)
        for task_key in task_keys:
            self._predictor.metrics.failures.labels(type(error).__name__).inc()
            self._results.fail(task_key, error)

    def _answer(self, name: str, future: Future[Prediction] | None) -> Prediction:
        """What the request is told of a task; None: that it is not finished."""
        if future is None:
            return {
                "error": f"{name} is not finished yet and goes on in the background: "
                "retrieve predictions again in a moment"
            }
        error = future.exception()
        if error is None:
            return future.result()
        _log.warning("%s: no prediction: %s", name, error)
        return {"error": f"{name}: {error}"}
