"""Pre-annotation of many tasks at once, within the time that Label Studio waits.

A batch is worked on in a thread of its own. Its request is answered when all is done or the time is
over, with what is finished; the rest goes on and is found in the result cache when Label Studio
asks again. What nobody has fetched is kept until it fills `PAM_RESULT_CACHE_BYTES`; then the rest
of a batch whose request was answered is given up, as its work would be lost.

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
from typing import TYPE_CHECKING, Any

from label_studio_backend.errors import RequestError, UnavailableError
from label_studio_backend.server.result_cache import result_key
from label_studio_backend.translation.translator import name_of
from pam_labeling import ClosedError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from concurrent.futures import Future

    from label_studio_backend.config.labeling_config import LabelingConfig
    from label_studio_backend.metrics import Metrics
    from label_studio_backend.server.model_loader import ModelLoader
    from label_studio_backend.server.projects import Project
    from label_studio_backend.server.result_cache import Prediction, ResultCache
    from label_studio_backend.settings import ServerSettings
    from label_studio_backend.translation.translator import Translator, Work
    from pam_labeling import Outcome, Request

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Batch:
    """The tasks that one request brought and that nobody works on yet, by their keys.

    Whoever works on them takes them out: they are large, and freed one at a time.
    """

    tasks: dict[bytes, Mapping[str, Any]]
    config: LabelingConfig
    project: Project
    until: float


class _NoPlaceError(RuntimeError):
    """What nobody has fetched fills the result cache, and nobody waits for this prediction."""


_EXPECTED = (ValueError, RequestError, ClosedError, TimeoutError, _NoPlaceError)


class Batches:
    """Works on batches in threads of its own.

    Args:
        loader: has the annotator.
        translator: translates tasks and annotations.
        results: where predictions go.
        metrics: counts seconds and failures.
        settings: limits of time and number.
        model_version: for predictions.
    """

    def __init__(
        self,
        loader: ModelLoader,
        translator: Translator,
        results: ResultCache,
        metrics: Metrics,
        settings: ServerSettings,
        *,
        model_version: str,
    ) -> None:
        self._loader = loader
        self._translator = translator
        self._results = results
        self._metrics = metrics
        self._settings = settings
        self._model_version = model_version
        self._places = threading.BoundedSemaphore(4 * settings.predictions)
        self._closed = threading.Event()

    def close(self) -> None:
        """Begin no further task."""
        self._closed.set()

    def predict(
        self,
        tasks: Sequence[Mapping[str, Any]],
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
            UnavailableError: too many batches are being worked on in the background.
        """
        # Whose rights an image was fetched with is part of what a prediction is made from.
        access = (project.access.host, project.access.token)
        context = (config.xml, repr(project.options), self._model_version, key, access)
        keys = [result_key(task, *context) for task in tasks]
        if not self._places.acquire(blocking=False):
            raise UnavailableError("busy: too many batches go on in the background; wait for them")
        waiting: list[Future[Prediction]] = []
        mine: dict[bytes, Mapping[str, Any]] = {}
        for task, task_key in zip(tasks, keys, strict=True):
            future, is_mine = self._results.claim(task_key)
            waiting.append(future)
            if is_mine:
                mine[task_key] = task
        done: set[Future[Prediction]] = set()
        try:
            self._start(_Batch(mine, config, project, deadline + self._settings.background_seconds))
            done = futures.wait(waiting, max(0.0, deadline - time.monotonic())).done
            return [
                self._answer(task, future if future in done else None)
                for task, future in zip(tasks, waiting, strict=True)
            ]
        finally:
            for task_key, future in zip(keys, waiting, strict=True):
                self._results.leave(task_key, fetched=future in done)

    def _start(self, batch: _Batch) -> None:
        """Work on a batch in a thread, which gives its place back at the end."""
        if batch.tasks:
            threading.Thread(
                target=self._work, args=(batch,), name="pam-batch", daemon=True
            ).start()
        else:
            self._places.release()

    def _work(self, batch: _Batch) -> None:
        count, left = len(batch.tasks), set(batch.tasks)
        lost: list[bytes] = []
        error: Exception = ClosedError("the backend was closed")
        try:
            annotator = self._loader.wait(max(0.0, batch.until - time.monotonic()))
            works: dict[int, tuple[bytes, Work]] = {}
            for outcome in annotator.annotate_many(self._requests(batch, left, works, lost)):
                task_key, work = works.pop(id(outcome.request))
                left.remove(task_key)
                if not self._settle(task_key, work, outcome):
                    lost.append(task_key)
        except Exception as raised:  # noqa: BLE001 - told to all who wait for the tasks that are left
            error = raised
        finally:
            for task_key in left:
                self._fail(task_key, error)
            self._places.release()
            if lost:
                _log.warning(
                    "given up %d of %d tasks of a batch: predictions that Label Studio has not "
                    "fetched fill PAM_RESULT_CACHE_BYTES (%d bytes); retrieve predictions again, "
                    "or raise it",
                    len(lost),
                    count,
                    self._results.max_bytes,
                )

    def _requests(
        self,
        batch: _Batch,
        left: set[bytes],
        works: dict[int, tuple[bytes, Work]],
        lost: list[bytes],
    ) -> Iterator[Request]:
        """Translate one task after the other, a little ahead of the model.

        Those whose predictions nobody could fetch are added to `lost` instead.
        """
        options, access = batch.project.options, batch.project.access
        for task_key in list(batch.tasks):
            try:
                self._check_open(batch)
                self._check_place(task_key, len(works))
                task = batch.tasks.pop(task_key)
                work = self._translator.task(task, batch.config, options, access)
            except _NoPlaceError as error:
                left.remove(task_key)
                lost.append(task_key)
                self._fail(task_key, error)
                continue
            except Exception as error:  # noqa: BLE001 - this task's failure; the others go on
                left.remove(task_key)
                self._fail(task_key, error)
                continue
            works[id(work.request)] = task_key, work
            yield work.request

    def _check_open(self, batch: _Batch) -> None:
        if self._closed.is_set():
            raise ClosedError("the backend was closed")
        if time.monotonic() > batch.until:
            raise TimeoutError("nobody asked for this batch again: its rest was given up")

    def _check_place(self, task_key: bytes, ahead: int) -> None:
        if self._results.would_lose(task_key, ahead):
            raise _NoPlaceError(
                "given up: predictions that were not fetched yet fill the backend's memory; "
                "retrieve predictions again"
            )

    def _settle(self, task_key: bytes, work: Work, outcome: Outcome) -> bool:
        """Pass on what became of a task; False: a prediction that nobody can have."""
        try:
            if outcome.annotation is None:
                assert outcome.error is not None
                raise outcome.error
            prediction = self._translator.prediction(
                work, outcome.annotation, model_version=self._model_version
            )
        except Exception as error:  # noqa: BLE001 - this task's failure; the others go on
            self._fail(task_key, error)
            return True
        return self._results.finish(task_key, prediction)

    def _fail(self, task_key: bytes, error: Exception) -> None:
        self._metrics.failures.labels(type(error).__name__).inc()
        if not isinstance(error, _EXPECTED):
            _log.error("a task of a batch failed", exc_info=error)
        self._results.fail(task_key, error)

    def _answer(self, task: Mapping[str, Any], future: Future[Prediction] | None) -> Prediction:
        """What a request is told of a task; None: that it is not finished."""
        if future is None:
            return {
                "error": f"{name_of(task)} is not finished yet and goes on in the background: "
                "retrieve predictions again in a moment"
            }
        error = future.exception()
        if error is None:
            return future.result()
        _log.warning("%s: no prediction: %s", name_of(task), error)
        return {"error": f"{name_of(task)}: {error}"}
