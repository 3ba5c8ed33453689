"""Decoded pictures of tasks, kept in memory so that a second click decodes nothing."""

from __future__ import annotations

import threading
from collections import OrderedDict
from hashlib import blake2b
from typing import TYPE_CHECKING

from pam_labeling import Picture, read_picture

if TYPE_CHECKING:
    from label_studio_backend.metrics import Metrics
    from label_studio_backend.task_media import Access, TaskMedia


class Pictures:
    """Fetches and decodes the pictures of tasks; safe to use from any thread.

    Args:
        media: fetches them, and keeps the files.
        metrics: counts the seconds, and what was found.
        max_bytes: how much of decoded pictures is kept; 0 keeps nothing.
        max_pixels: the largest picture that is read.
    """

    def __init__(
        self, media: TaskMedia, metrics: Metrics, *, max_bytes: int, max_pixels: int
    ) -> None:
        self._media = media
        self._metrics = metrics
        self._max_bytes = max_bytes
        self._max_pixels = max_pixels
        self._nbytes = 0
        self._pictures: OrderedDict[bytes, Picture] = OrderedDict()
        self._lock = threading.Lock()

    @property
    def nbytes(self) -> int:
        """What is kept now, in bytes."""
        return self._nbytes

    def get(self, value: object, access: Access, task_id: object, name: str) -> Picture:
        """The picture that task data names.

        Args:
            value: what the task's data holds for the picture tag.
            access: the Label Studio that asks.
            task_id: the task's id; cloud addresses need it.
            name: what messages call the picture.

        Raises:
            MediaError: it cannot or may not be fetched.
            PictureError: it cannot be decoded.
        """
        with self._metrics.stage("media"):
            content = self._media.picture(value, access, task_id)
        with self._metrics.stage("decode"):
            # By content: the right to see a file was checked when it was fetched.
            key = blake2b(content, digest_size=16).digest()
            picture = self._kept(key)
            self._metrics.pictures.labels("miss" if picture is None else "hit").inc()
            if picture is None:
                picture = read_picture(content, name=name, max_pixels=self._max_pixels)
                self._keep(key, picture)
        return picture

    def _kept(self, key: bytes) -> Picture | None:
        with self._lock:
            picture = self._pictures.get(key)
            if picture is not None:
                self._pictures.move_to_end(key)
            return picture

    def _keep(self, key: bytes, picture: Picture) -> None:
        size = picture.pixels.nbytes
        with self._lock:
            if key in self._pictures or size > self._max_bytes:
                return
            self._pictures[key] = picture
            self._nbytes += size
            while self._nbytes > self._max_bytes:
                _, oldest = self._pictures.popitem(last=False)
                self._nbytes -= oldest.pixels.nbytes
