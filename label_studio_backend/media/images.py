"""A memory cache of decoded images, so that a second click reads and decodes nothing."""

from __future__ import annotations

import threading
import weakref
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from cachetools import LRUCache

from label_studio_backend.media.urls import MediaError
from label_studio_backend.single_flight import SingleFlight
from pam_labeling import LoadedImage, read_image
from pam_labeling.errors import BusyError
from pam_labeling.media import AUTO

if TYPE_CHECKING:
    from label_studio_backend.media.files import MediaFile
    from label_studio_backend.media.task_media import Access, TaskMedia
    from label_studio_backend.metrics import Metrics
    from pam_labeling.media import GreyRange


_DECODERS = 4  # images that are decoded at once
_IN_WORK = 1 << 30  # bytes of decoded images besides those kept; each decoder may exceed it by one
_PATIENCE = 30.0  # seconds


class Images:
    """Fetches and decodes the images of tasks; safe to use from any thread.

    Args:
        media: fetches the files, and keeps them.
        metrics: counts the seconds, and the hits and misses.
        max_bytes: limit on the decoded images that are kept; 0 keeps none.
        max_pixels: of the largest image that is read.
        grey_range: how grey of more than 8 bits is read, see `pam_labeling.media.parse_range`.
    """

    def __init__(
        self,
        media: TaskMedia,
        metrics: Metrics,
        *,
        max_bytes: int,
        max_pixels: int,
        grey_range: GreyRange = AUTO,
    ) -> None:
        self._media = media
        self._metrics = metrics
        self._read = partial(read_image, max_pixels=max_pixels, grey_range=grey_range)
        self._decoded: LRUCache[str, LoadedImage] = LRUCache(
            max_bytes, getsizeof=lambda image: image.pixels.nbytes
        )
        self._lock = threading.Lock()
        self._most = max_bytes + _IN_WORK
        self._held = 0  # bytes of all decoded images, kept or in work
        self._freed = threading.Condition()
        self._decoding = threading.BoundedSemaphore(_DECODERS)
        self._looking: SingleFlight[LoadedImage] = SingleFlight()

    @property
    def nbytes(self) -> int:
        """The size of the decoded images that are kept now, in bytes."""
        return int(self._decoded.currsize)

    def get(self, value: object, access: Access, task_id: object, name: str) -> LoadedImage:
        """The image that task data names.

        Args:
            value: what the task's data holds for the image tag.
            access: the Label Studio that asks.
            task_id: the task's id; cloud addresses need it.
            name: what messages call the image.

        Raises:
            MediaError: the image cannot or may not be fetched.
            ImageError: the image cannot be decoded.
            BusyError: too many large images are in work.
        """
        for attempt in (1, 2):
            with self._metrics.stage("media"):
                file = self._media.file(value, access, task_id)
            # The key is the content: `file` has checked that this request may see it. Threads that
            # want the same image share one decoding. The key includes the name, because a message
            # about a damaged image names the task.
            look_up = partial(self._look_up, file, name)
            try:
                return self._looking.call((file.key, name), look_up)
            except OSError as error:
                # Another process may have just removed the file; fetch it once more.
                if attempt == 2 or not isinstance(error, FileNotFoundError):
                    raise MediaError(
                        f"{name}: its file cannot be read ({error.strerror or error})"
                    ) from error
        raise AssertionError("unreachable")

    def _look_up(self, file: MediaFile, name: str) -> LoadedImage:
        """The decoded image of a file, from the cache or decoded now."""
        with self._lock:
            image = self._decoded.get(file.key)
        self._metrics.images.labels("miss" if image is None else "hit").inc()
        if image is None:
            with self._metrics.stage("media"):
                content = file.read()
            with self._metrics.stage("decode"):
                image = self._decode(content, file.key, name)
            with self._lock, suppress(ValueError):  # the image is larger than the cache
                self._decoded[file.key] = image
        return image

    def _decode(self, content: bytes, key: str, name: str) -> LoadedImage:
        with self._decoding:
            with self._freed:
                if not self._freed.wait_for(lambda: self._held < self._most, _PATIENCE):
                    raise BusyError("images in work fill the memory; try again in a moment")
            image = self._read(content, key=key, name=name)
            self._count(image.pixels.nbytes)
        weakref.finalize(image, self._count, -image.pixels.nbytes)
        return image

    def _count(self, nbytes: int) -> None:
        with self._freed:
            self._held += nbytes
            self._freed.notify_all()
