"""Decoded images of tasks, kept in memory so that a second click decodes nothing."""

from __future__ import annotations

import threading
from collections import OrderedDict
from hashlib import blake2b
from typing import TYPE_CHECKING

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
        self._max_bytes = max_bytes
        self._max_pixels = max_pixels
        self._nbytes = 0
        self._images: OrderedDict[bytes, LoadedImage] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """What is kept now, in bytes."""
        return self._nbytes

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
            content = self._media.image(value, access, task_id)
        with self._metrics.stage("decode"):
            # By content: the right to see a file was checked when it was fetched.
            key = blake2b(content, digest_size=16).digest()
            image = self._kept(key)
            self._metrics.images.labels("miss" if image is None else "hit").inc()
            if image is None:
                image = read_image(content, name=name, max_pixels=self._max_pixels)
                self._keep(key, image)
        return image

    def _kept(self, key: bytes) -> LoadedImage | None:
        with self._lock:
            image = self._images.get(key)
            if image is not None:
                self._images.move_to_end(key)
            return image

    def _keep(self, key: bytes, image: LoadedImage) -> None:
        size = image.pixels.nbytes
        with self._lock:
            if key in self._images or size > self._max_bytes:
                return
            self._images[key] = image
            self._nbytes += size
            while self._nbytes > self._max_bytes:
                _, oldest = self._images.popitem(last=False)
                self._nbytes -= oldest.pixels.nbytes
