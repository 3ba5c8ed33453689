"""Share one model between many callers, who give images and prompts and get annotated regions.

with Annotator(PAM.from_pretrained("nano")) as annotator:
    request = Request("scene.png", prompts=(Prompt.from_box((10, 20, 90, 80)),))
    annotation = annotator.annotate(request, timeout=30)
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from concurrent import futures
from dataclasses import dataclass
from typing import Any, TypeVar

from pam_labeling.cache import DeviceCache
from pam_labeling.errors import DeadlineError, PromptError
from pam_labeling.jobs import LATE, Job, Priority, Step
from pam_labeling.media import AUTO, MAX_PIXELS, GreyRange, LoadedImage, read_image
from pam_labeling.pipeline import PROMPTS_PER_STEP, Pipeline
from pam_labeling.read_ahead import ReadAhead
from pam_labeling.regions import Annotation, Refusal, Region
from pam_labeling.request import LazyRequest, Outcome, Request
from pam_labeling.work_queue import WorkQueue
from pam_model import PAM, ImageFeatures, PreparedImage
from pam_model.prompts import check_prompts

__all__ = ["Annotator", "LazyRequest", "Outcome", "Request", "Statistics"]

T = TypeVar("T")

MOST_TOKENS = 128
"""The longest label that PAM scores, in tokens."""

_AHEAD = 32  # requests of a batch that are being read or annotated while the caller handles one
_BYTES_AHEAD = 1 << 28  # bytes of their pixels; each reader may exceed this by one image


@dataclass(frozen=True)
class Statistics:
    """The load of an annotator.

    Attributes:
        waiting: the number of requests in the queue.
        cached_bytes: the bytes of image features kept on the device.
        cache_hits: how many images did not need to be encoded again.
        cache_misses: how many images were encoded.
    """

    waiting: int
    cached_bytes: int
    cache_hits: int
    cache_misses: int


class Annotator:
    """Owns a model and lets any number of threads use it.

    One worker thread works in steps (encode, segment, read a few regions, write a few words).
    Between two steps, clicks overtake watched work, and watched work overtakes batches. Requests
    that are cancelled or past their deadline are dropped. Equal steps of several requests are done
    in one pass. An error affects its own request only.

    Args:
        model: the model; nothing else may use it until the annotator is closed.
        queue_size: how many requests of each priority may wait.
        cache_bytes: the limit of the cache of image features, in bytes on the model's device.
        regions_per_step: how many regions of one request the language model reads at once.
        max_pixels: the largest image that is read, as width x height.
        grey_range: how grey of more than 8 bits is read, see `pam_labeling.media.parse_range`.
    """

    def __init__(
        self,
        model: PAM,
        *,
        queue_size: int = 64,
        cache_bytes: int = 1 << 30,
        regions_per_step: int = 16,
        max_pixels: int = MAX_PIXELS,
        grey_range: GreyRange = AUTO,
    ) -> None:
        self._model = model
        self._max_pixels = max_pixels
        self._grey_range = grey_range
        self._cache: DeviceCache[ImageFeatures] = DeviceCache(cache_bytes)
        self._pipeline = Pipeline(model, self._cache, regions_per_step=regions_per_step)
        # Enough regions at once to fill a pass; more would only wait for each other.
        regions = max(1, model.tokens_per_pass // model.region_tokens)
        self._queue = WorkQueue(queue_size, tokens_per_pass=model.tokens_per_pass, cost=regions)
        # Reading decodes an image or waits for a network. Each priority has its own readers, so
        # that watched work does not wait behind the images of a batch.
        readers = min(max(4, os.cpu_count() or 1), 8)
        self._readers = {
            priority: futures.ThreadPoolExecutor(readers, thread_name_prefix="pam-reader")
            for priority in Priority
        }
        self._read_ahead = ReadAhead(_BYTES_AHEAD)
        self._worker = self._queue.start_worker("pam-annotator")

    @property
    def model_name(self) -> str:
        """The name of the checkpoint."""
        return self._model.name

    @property
    def statistics(self) -> Statistics:
        """The load of the annotator now."""
        return Statistics(
            waiting=len(self._queue),
            cached_bytes=self._cache.nbytes,
            cache_hits=self._cache.hits,
            cache_misses=self._cache.misses,
        )

    def too_long(self, phrases: Sequence[str]) -> list[str]:
        """The phrases that have more than `MOST_TOKENS` tokens.

        Any thread may call this while the model works: the tokenizer is only read.
        """
        encode = self._model.network.language.tokenizer.encode
        return [
            phrase
            for phrase in phrases
            if len(encode(phrase, add_special_tokens=False)) > MOST_TOKENS
        ]

    def read(
        self,
        source: str | os.PathLike[str] | bytes,
        *,
        name: str | None = None,
        page: int | None = None,
    ) -> LoadedImage:
        """Read an image file as this annotator reads those of its requests, see `read_image`.

        Raises:
            ImageError: the image cannot be read.
        """
        return read_image(
            source,
            name=name,
            max_pixels=self._max_pixels,
            grey_range=self._grey_range,
            page=page,
        )

    def __enter__(self) -> Annotator:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop after the step in progress; the remaining requests fail with `ClosedError`."""
        self._queue.close()
        for readers in self._readers.values():
            readers.shutdown(wait=False, cancel_futures=True)
        if threading.current_thread() is not self._worker:
            self._worker.join()
            self._cache.clear()

    def submit(
        self,
        request: Request,
        *,
        priority: Priority = Priority.CLICK,
        timeout: float | None = None,
        wait: bool = False,
    ) -> futures.Future[Annotation]:
        """Read and check a request in the calling thread, and queue it.

        The future can be cancelled at any time. Its callbacks run in the worker's thread.

        Args:
            request: what to do.
            priority: see `Priority`.
            timeout: seconds from now after which the future fails with `DeadlineError`. It fails
                when the next step of the request is due.
            wait: whether to wait for a place in a full queue, instead of raising `BusyError`.

        Raises:
            ImageError: the image cannot be read.
            PromptError: a prompt means nothing in this image; the message gives its number.
            BusyError: the queue is full.
            DeadlineError: no place in the queue became free in time.
            ClosedError: the annotator is closed.
        """
        return self._submit(request, priority, _deadline(timeout), wait=wait).future

    def annotate(
        self,
        request: Request,
        *,
        priority: Priority = Priority.CLICK,
        timeout: float | None = None,
    ) -> Annotation:
        """Annotate an image and wait for the result.

        Args:
            request: what to do.
            priority: see `Priority`.
            timeout: seconds after which to give up; None or infinity means never.

        Raises:
            ImageError, PromptError, BusyError, ClosedError: as `submit` does.
            DeadlineError: the time ran out in the queue or during the work.
            Exception: any other error that the model raised.
        """
        return _result(self._submit(request, priority, _deadline(timeout), wait=False))

    def stream(
        self,
        request: Request,
        *,
        priority: Priority = Priority.WATCHED,
        timeout: float | None = None,
    ) -> Job[Region | Refusal, Annotation]:
        """Read and check a request in the calling thread, and start it.

        Returns:
            A job to iterate over. It yields each region or refusal as soon as it is found, and
            pauses until the caller takes them. `cancel` ends it early; `result` returns the whole
            annotation.

        Raises:
            ImageError, PromptError, BusyError, ClosedError: as `submit` does.
        """
        return self._submit(request, priority, _deadline(timeout), wait=False, outbox=_AHEAD)

    def annotate_many(
        self,
        requests: Iterable[Request | LazyRequest],
        *,
        priority: Priority = Priority.BATCH,
        timeout: float | None = None,
    ) -> Generator[Outcome, None, None]:
        """Do many requests, and yield the annotation or error of each in their order.

        Other threads read the images, some ahead of the model. The model does equal work of several
        requests in one pass. Leaving the loop early cancels the queued requests.

        Args:
            requests: the requests, consumed in the calling thread as the work goes on.
            priority: see `Priority`.
            timeout: seconds for each request, counted from the time when it is queued.

        Raises:
            Exception: whatever `requests` raised, after the outcomes of all requests before it.
        """
        pending: deque[_Item] = deque()
        source, broken = iter(requests), list[Exception]()
        try:
            while (request := _next(source, broken)) is not None:
                pending.append(self._start(request, priority, timeout))
                if len(pending) > _AHEAD:
                    yield pending.popleft().outcome()
            while pending:
                yield pending.popleft().outcome()
        finally:
            for item in pending:
                item.job.cancel()
        if broken:
            raise broken[0]

    def _start(
        self, request: Request | LazyRequest, priority: Priority, timeout: float | None
    ) -> _Item:
        """Let a reader fetch the image, and queue the job that waits for it."""
        item = _Item(request)
        reading: futures.Future[None] = futures.Future()
        item.job = Job(self._annotate_item(item), priority, _deadline(timeout), after=reading)
        try:
            self._queue.put(item.job, wait=True)
            self._readers[priority].submit(self._read, item, reading)
        except Exception as error:  # noqa: BLE001 - it becomes this request's outcome
            item.job.fail(error)
        return item

    def _read(self, item: _Item, reading: futures.Future[None]) -> None:
        try:
            self._read_ahead.wait()
            if not item.job.is_pointless:
                source = item.source
                item.request = source.make() if isinstance(source, LazyRequest) else source
                item.image = self._image(item.request)
                self._read_ahead.hold(item.image[0].pixels.nbytes, item.job.future)
                item.job.cost = _cost(item.request)
        except BaseException as error:  # noqa: BLE001 - it becomes this request's outcome
            reading.set_exception(error)
        else:
            reading.set_result(None)

    def _annotate_item(self, item: _Item) -> Generator[Step[Region | Refusal], Any, Annotation]:
        assert item.request is not None
        assert item.image is not None
        image, item.image = item.image, None  # now only the steps hold it
        return (yield from self._pipeline.annotate(item.request, *image))

    def _submit(
        self,
        request: Request,
        priority: Priority,
        deadline: float | None,
        *,
        wait: bool,
        outbox: int = 0,
    ) -> Job[Region | Refusal, Annotation]:
        steps = self._pipeline.annotate(request, *self._image(request))
        job = Job(steps, priority, deadline, cost=_cost(request), outbox=outbox)
        self._queue.put(job, wait=wait)
        return job

    def _image(self, request: Request) -> tuple[LoadedImage, PreparedImage | None]:
        """Read and check the image, and prepare it for the encoder unless its features are cached.

        This runs in the caller's thread; in the worker's, every other request would wait for it.
        """
        image = request.image
        if not isinstance(image, LoadedImage):
            image = self.read(image)
        try:
            check_prompts(request.prompts, image.size)
        except PromptError as error:
            raise PromptError(f"{image.name}: {error}") from error
        prepared = None if image.key in self._cache else self._model.prepare(image.pixels)
        return image, prepared


class _Item:
    """A request of a batch, from reading to outcome.

    Attributes:
        source: what the caller gave.
        request: the request itself, once it is made.
        image: the image, read and prepared, until the steps take it.
        job: the job that does the request.
    """

    job: Job[Region | Refusal, Annotation]

    def __init__(self, source: Request | LazyRequest) -> None:
        self.source = source
        self.request = source if isinstance(source, Request) else None
        self.image: tuple[LoadedImage, PreparedImage | None] | None = None

    def outcome(self) -> Outcome:
        """Wait for the outcome."""
        key = self.source.key
        try:
            annotation = _result(self.job)
        except Exception as error:  # noqa: BLE001 - it becomes this request's outcome
            return Outcome(self.request, error=error, key=key)
        except BaseException as error:
            future = self.job.future
            if not future.done() or future.cancelled() or future.exception() is not error:
                raise  # the caller itself was interrupted
            # An exception from the request's own code, perhaps `sys.exit`, must not end the caller.
            failure = RuntimeError(f"the request ended in {error!r}")
            failure.__cause__ = error
            return Outcome(self.request, error=failure, key=key)
        return Outcome(self.request, annotation, key=key)


def _next(items: Iterator[T], broken: list[Exception]) -> T | None:
    """The next item; None at the end, and after an error, which is put into `broken`."""
    try:
        return next(items, None)
    except Exception as error:  # noqa: BLE001 - the caller raises it later
        broken.append(error)
        return None


def _cost(request: Request) -> int:
    return min(len(request.prompts) or PROMPTS_PER_STEP, PROMPTS_PER_STEP)


def _deadline(timeout: float | None) -> float | None:
    if timeout is None or timeout == math.inf:
        return None
    return time.monotonic() + timeout


def _result(job: Job[Any, Annotation]) -> Annotation:
    """Wait for a job; cancel the job if the waiting ends early."""
    future = job.future
    try:
        futures.wait([future], job.seconds_left)
    except BaseException:
        future.cancel()
        raise
    if not future.done() and future.cancel():
        raise DeadlineError(LATE)
    return future.result()
