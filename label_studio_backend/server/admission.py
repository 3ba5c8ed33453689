"""Admission control: how many requests work at once, how many wait, and who is told "busy"."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pam_labeling.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import Iterator


class ConcurrencyLimit:
    """Lets `limit` requests work and as many more wait; any further one is refused at once.

    So the server always has threads left for `/health` and `/setup`.

    Args:
        limit: how many requests may work at once, at least 1.
        patience: seconds to wait for a slot.
        what: what the requests are, in the plural, for the message.
    """

    def __init__(self, limit: int, patience: float, what: str) -> None:
        self._patience = patience
        self._busy = f"{limit} {what} are being worked on; try again in a moment"
        self._working = threading.BoundedSemaphore(limit)
        self._inside = threading.BoundedSemaphore(2 * limit)

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
