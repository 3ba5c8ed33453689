"""Pre-annotation of many tasks at once, within the time that Label Studio waits.

Each batch has a thread of its own. When all tasks are done, or the request's time is over, the
request gets the finished predictions. The thread goes on with the rest, and Label Studio gets them
from the result cache when it asks again. While unfetched predictions fill `PAM_RESULT_CACHE_BYTES`,
the rest waits.

A task without a prediction gets `{"error": sentence}`. Label Studio logs an entry without `result`,
saves nothing for that task, and asks for it again in its next request for predictions.
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

_NAMED = 20  # at most so many failures of a batch are named in the log
_TICK = 1.0  # seconds between checks whether the batch is too old, or the backend closed

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Batch:
    """The tasks of one request that no other request is working on.

    Attributes:
        tasks: the JSON of each unfinished task by its key.
        config: the labelling config.
        project: the project's options and access.
        priority: see `Priority`.
        until: when the rest is given up, on `time.monotonic()`'s clock.
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
        results: receives the predictions.
        settings: limits on time and number.
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
        """Return a prediction, or `{"error": sentence}`, for each task, by `deadline`.

        Args:
            tasks: with their annotations, drafts and predictions.
            config: the labelling config.
            project: the project's options and access.
            key: the project's key.
            deadline: on `time.monotonic()`'s clock.

        Raises:
            BusyError: too many batches are being worked on in the background.
        """
        # A prediction belongs to the rights with which its image was fetched.
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
                # For a single task, an annotator waits at the screen.
                priority = Priority.WATCHED if len(tasks) == 1 else Priority.BATCH
                until = deadline + self._background_seconds
                self._start(_Batch(mine, config, project, priority, until))
            done = futures.wait(waiting, max(0.0, deadline - time.monotonic())).done
            answers = [
                self._answer(name, future if future in done else None)
                for name, future in zip(names, waiting, strict=True)
            ]
        finally:
            for task_key, future in zip(keys, waiting, strict=True):
                self._results.leave(task_key, fetched=future in done)
        failed = [
            answer["error"]
            for answer, future in zip(answers, waiting, strict=True)
            if future in done and "error" in answer
        ]
        if failed:
            some = "; ".join(failed[:_NAMED])
            _log.warning("%d tasks of a batch have no prediction: %s", len(failed), some)
        return answers

    def _start(self, batch: _Batch) -> None:
        """Work on a batch in a thread, which releases its place at the end."""
        if not self._places.acquire(blocking=False):
            error = BusyError("too many batches run in the background; try again later")
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
        except Exception as error:  # noqa: BLE001 - raised in all that wait for the other tasks
            self._fail(batch.tasks, error)
        finally:
            self._places.release()

    def _predict_where_room(self, batch: _Batch) -> None:
        """Predict the tasks for which there is room; the others stay in the batch."""
        project = batch.project
        # A generator: room is checked just before each task, as finished predictions fill it.
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
            raise DeadlineError(
                "the batch took too long and was given up; retrieve predictions again"
            )

    def _fail(self, task_keys: Collection[bytes], error: Exception) -> None:
        if not isinstance(error, PamError):
            _log.error("a task of a batch failed", exc_info=error)
        for task_key in task_keys:
            self._predictor.metrics.failures.labels(type(error).__name__).inc()
            self._results.fail(task_key, error)

    def _answer(self, name: str, future: Future[Prediction] | None) -> Prediction:
        """The answer for one task; a `future` of None stands for an unfinished task."""
        if future is None:
            return {
                "error": f"{name} is not finished yet; it continues in the background: "
                "retrieve predictions again in a moment"
            }
        error = future.exception()
        if error is None:
            return future.result()
        return {"error": f"{name}: {str(error) or type(error).__name__}"}
