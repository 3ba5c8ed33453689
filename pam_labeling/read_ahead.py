"""How many images may be read ahead of the model."""

from __future__ import annotations

import threading
from concurrent import futures
from typing import Any


class ReadAhead:
    """Bounds the bytes of images that are read but not yet done, over all batches.

    Args:
        most: the limit in bytes; each thread that waits may exceed it by one image.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._held = 0  # bytes
        self._freed = threading.Condition()

    def wait(self) -> None:
        """Wait until there is room for another image."""
        with self._freed:
            self._freed.wait_for(lambda: self._held < self._most)

    def hold(self, nbytes: int, until: futures.Future[Any]) -> None:
        """Count the bytes of an image until its request is done."""
        with self._freed:
            self._held += nbytes
        until.add_done_callback(lambda _: self._free(nbytes))

    def _free(self, nbytes: int) -> None:
        with self._freed:
            self._held -= nbytes
            self._freed.notify_all()
