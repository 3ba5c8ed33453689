"""Admission control: limit the requests that run and wait, and refuse the others as busy."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pam_labeling.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import Iterator


class ConcurrencyLimit:
    """Lets `limit` requests run and some more wait; refuses any further one at once.

    This leaves the server threads for `/health`.

    Args:
        limit: how many requests may run at once, at least 1.
        what: a plural noun for the requests, for the message, such as "clicks".
        waiting: how many more may wait.
        patience: seconds to wait for a slot.
    """

    def __init__(self, limit: int, what: str, waiting: int = 0, patience: float = 0) -> None:
        self._patience = patience
        self._busy = f"{limit} {what} are being worked on; try again in a moment"
        self._working = threading.BoundedSemaphore(limit)
        self._inside = threading.BoundedSemaphore(limit + waiting)

    @contextmanager
    def slot(self) -> Iterator[None]:
        """Wait for a slot, and hold it inside `with`.

        Raises:
            BusyError: too many requests wait already, or no slot became free in time.
        """
        if not self._inside.acquire(blocking=False):
            raise BusyError(self._busy)
        try:
            if not self._working.acquire(timeout=self._patience):
                raise BusyError(self._busy)
            try:
                yield
            finally:
                self._working.release()
        finally:
            self._inside.release()
