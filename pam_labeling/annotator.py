"""One model shared by many callers: from images and prompts to annotated regions.

with Annotator(PAM.from_pretrained("nano")) as annotator:
    request = Request("scene.png", prompts=(Prompt.from_box((10, 20, 90, 80)),))
    annotation = annotator.annotate(request, timeout=30)
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from concurrent import futures
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pam_labeling.cache import FeatureCache
from pam_labeling.errors import DeadlineError
from pam_labeling.media import MAX_PIXELS, LoadedImage, read_image
from pam_labeling.pipeline import Pipeline
from pam_labeling.request import Outcome, Request
from pam_labeling.work_queue import Job, Priority, WorkQueue
from pam_model import PromptError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence
    from concurrent.futures import Future

    from pam_labeling.regions import Annotation
    from pam_model import PAM

__all__ = ["Annotator", "Outcome", "Request", "Statistics"]

MOST_TOKENS = 128
"""The longest label that PAM scores, in tokens."""

_AHEAD = 2  # images of a batch that are read and queued while the caller looks at one


@dataclass(frozen=True)
class Statistics:
    """How busy an annotator is.

    Attributes:
        waiting: requests in the queue.
        cached_bytes: image features kept on the device.
        cache_hits: images that did not need to be encoded again.
        cache_misses: images that were encoded.
    """

    waiting: int
    cached_bytes: int
    cache_hits: int
    cache_misses: int


class Annotator:
    """Owns a model and lets any number of threads use it.

    One worker thread does the work in steps (encode, segment, a few regions' words at a time).
    Between two steps interactive requests overtake batches, and requests whose caller has gone
    (cancelled, or past the deadline) are dropped. An error belongs to its request alone.

    Args:
        model: nobody else may use it until the annotator is closed.
        queue_size: how many requests of each priority may wait.
        cache_bytes: the limit for kept image features, in bytes on the model's device.
        regions_per_step: how many regions the language model describes in one batch.
        max_pixels: the largest image that is read.
    """

    def __init__(
        self,
        model: PAM,
        *,
        queue_size: int = 64,
        cache_bytes: int = 1 << 30,
        regions_per_step: int = 16,
        max_pixels: int = MAX_PIXELS,
    ) -> None:
        self._model_name = model.name
        self._model = model
        self._max_pixels = max_pixels
        self._cache = FeatureCache(cache_bytes)
        self._pipeline = Pipeline(model, self._cache, regions_per_step=regions_per_step)
        self._queue = WorkQueue(queue_size)
        self._worker = threading.Thread(target=self._queue.work, name="pam-annotator", daemon=True)
        self._worker.start()

    @property
    def model_name(self) -> str:
        """The name of the checkpoint."""
        return self._model_name

    @property
    def statistics(self) -> Statistics:
        """How busy the annotator is now."""
        cache = self._cache
        return Statistics(len(self._queue), cache.nbytes, cache.hits, cache.misses)

    def too_long(self, phrases: Sequence[str]) -> list[str]:
        """Those of `phrases` that have more than `MOST_TOKENS` tokens of the model.

        It waits for nobody: the tokenizer is only read.
        """
        encode = self._model.network.language.tokenizer.encode
        return [
            phrase
            for phrase in phrases
            if len(encode(phrase, add_special_tokens=False)) > MOST_TOKENS
        ]

    def __enter__(self) -> Annotator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop after the step in progress; requests that are left fail with `ClosedError`."""
        self._queue.close()
        if threading.current_thread() is not self._worker:
            self._worker.join()
            self._cache.clear()

    def submit(
        self,
        request: Request,
        *,
        priority: Priority = Priority.INTERACTIVE,
        timeout: float | None = None,
        wait: bool = False,
    ) -> Future[Annotation]:
        """Read and check a request in the calling thread, and queue it.

        The future can be cancelled at any time. Its callbacks run in the worker's thread.

        Args:
            request: what to do.
            priority: interactive work goes before batches.
            timeout: seconds from now after which the future fails with `DeadlineError`; what is
                late is noticed when its next step comes up.
            wait: wait for a place in a full queue, instead of raising `BusyError`.

        Raises:
            ImageError: the image cannot be read.
            PromptError: a prompt means nothing in this image; the message has its number.
            BusyError: the queue is full.
            DeadlineError: no place in the queue became free in time.
            ClosedError: the annotator is closed.
        """
        deadline = _deadline(timeout)
        return self._submit(request, priority, deadline, wait=wait)

    def annotate(
        self,
        request: Request,
        *,
        priority: Priority = Priority.INTERACTIVE,
        timeout: float | None = None,
    ) -> Annotation:
        """Do a request and wait for its annotation.

        Args:
            request: what to do.
            priority: interactive work goes before batches.
            timeout: seconds after which to give up; None or infinite: never.

        Raises:
            ImageError, PromptError, BusyError, ClosedError: as `submit` does.
            DeadlineError: the time was over, in the queue or at work.
            Exception: whatever the model raised.
        """
        deadline = _deadline(timeout)
        return _result(self._submit(request, priority, deadline, wait=False), deadline)

    def annotate_many(
        self,
        requests: Iterable[Request],
        *,
        priority: Priority = Priority.BATCH,
        timeout: float | None = None,
    ) -> Generator[Outcome, None, None]:
        """Do many requests, and give each one's annotation or error in their order.

        Images are read in the calling thread, a little ahead of the model. Leaving the loop
        early cancels what is queued.

        Args:
            requests: consumed as the work goes on.
            priority: a batch lets interactive work overtake it.
            timeout: seconds for each request, from when it is queued.
        """
        pending: deque[tuple[Request, Future[Annotation], float | None]] = deque()
        try:
            for request in requests:
                deadline = _deadline(timeout)
                pending.append((request, self._try(request, priority, deadline), deadline))
                if len(pending) > _AHEAD:
                    yield _outcome(*pending.popleft())
            while pending:
                yield _outcome(*pending.popleft())
        finally:
            for _, future, _ in pending:
                future.cancel()

    def _try(
        self, request: Request, priority: Priority, deadline: float | None
    ) -> Future[Annotation]:
        try:
            return self._submit(request, priority, deadline, wait=True)
        except Exception as error:  # noqa: BLE001 - travels to the caller as this image's outcome
            failed: Future[Annotation] = futures.Future()
            failed.set_exception(error)
            return failed

    def _submit(
        self, request: Request, priority: Priority, deadline: float | None, *, wait: bool
    ) -> Future[Annotation]:
        image = request.image
        if not isinstance(image, LoadedImage):
            image = read_image(image, max_pixels=self._max_pixels)
        _check_prompts(request, image)
        job = Job(self._pipeline.annotate(request, image, deadline), priority, deadline)
        self._queue.put(job, wait=wait)
        return job.future


def _deadline(timeout: float | None) -> float | None:
    if timeout is None or timeout == math.inf:
        return None
    return time.monotonic() + timeout


def _check_prompts(request: Request, image: LoadedImage) -> None:
    number = 0
    try:
        for number, prompt in enumerate(request.prompts, start=1):  # noqa: B007 - the except clause names it
            prompt.check(image.size)
    except PromptError as error:
        raise PromptError(f"{image.name}: prompt {number}: {error}") from error


def _result(future: Future[Annotation], deadline: float | None) -> Annotation:
    """Wait for a future; whoever stops waiting cancels the work."""
    try:
        seconds = None if deadline is None else max(0.0, deadline - time.monotonic())
        if seconds is not None:
            seconds = min(seconds, threading.TIMEOUT_MAX)
        futures.wait([future], seconds)
    except BaseException:
        future.cancel()
        raise
    if not future.done() and future.cancel():
        raise DeadlineError("the time for this request was over before its work was")
    return future.result()


def _outcome(request: Request, future: Future[Annotation], deadline: float | None) -> Outcome:
    try:
        return Outcome(request, annotation=_result(future, deadline))
    except Exception as error:  # noqa: BLE001 - this image's outcome; the others go on
        return Outcome(request, error=error)
