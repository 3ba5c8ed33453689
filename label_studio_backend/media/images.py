"""Decoded images of tasks, kept in memory so that a second click reads and decodes nothing."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import TYPE_CHECKING

from cachetools import LRUCache

from label_studio_backend.media.urls import MediaError
from pam_labeling import LoadedImage, read_image

if TYPE_CHECKING:
    from label_studio_backend.media.task_media import Access, TaskMedia
    from label_studio_backend.metrics import Metrics


class Images:
    """Fetches and decodes the images of tasks; safe to use from any thread.

    Args:
        media: fetches them, and keeps the files.
        metrics: counts the seconds, and what was found.
        max_bytes: how much of decoded images is kept; 0 keeps nothing.
        max_pixels: the largest image that is read.
    """

    def __init__(
        self, media: TaskMedia, metrics: Metrics, *, max_bytes: int, max_pixels: int
    ) -> None:
        self._media = media
        self._metrics = metrics
        self._max_pixels = max_pixels
        self._decoded: LRUCache[str, LoadedImage] = LRUCache(
            max_bytes, getsizeof=lambda image: image.pixels.nbytes
        )
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """What is kept now, in bytes."""
        return int(self._decoded.currsize)

    def get(self, value: object, access: Access, task_id: object, name: str) -> LoadedImage:
        """The image that task data names.

        Args:
            value: what the task's data holds for the image tag.
            access: the Label Studio that asks.
            task_id: the task's id; cloud addresses need it.
            name: what messages call the image.

        Raises:
            MediaError: it cannot or may not be fetched.
            ImageError: it cannot be decoded.
        """
        with self._metrics.stage("media"):
            key, found = self._find(value, access, task_id, name)
        self._metrics.images.labels("miss" if isinstance(found, bytes) else "hit").inc()
        if isinstance(found, LoadedImage):
            return found
        with self._metrics.stage("decode"):
            image = read_image(found, key=key, name=name, max_pixels=self._max_pixels)
        with self._lock, suppress(ValueError):  # it is larger than all that may be kept
            self._decoded[key] = image
        return image

    def _find(
        self, value: object, access: Access, task_id: object, name: str
    ) -> tuple[str, LoadedImage | bytes]:
        """The image's key, and the image if it is kept; else the content of its file."""
        for attempt in (1, 2):
            file = self._media.file(value, access, task_id)
            # Found by content: `file` has checked that this request may see it.
            with self._lock:
                image = self._decoded.get(file.key)
            if image is not None:
                return file.key, image
            try:
                return file.key, file.read()
            except OSError as error:
                # Another process may have removed it just now; then it is fetched once more.
                if attempt == 2 or not isinstance(error, FileNotFoundError):
                    raise MediaError(
                        f"{name}: its file cannot be read ({error.strerror or error})"
                    ) from error
        raise AssertionError("unreachable")
