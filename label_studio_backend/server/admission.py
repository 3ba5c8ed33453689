"""How many requests may be at work or waiting, so that the server always has threads left."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

from label_studio_backend.errors import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator


class Turns:
    """Lets `limit` requests work and as many more wait; whoever comes then is told at once.

    Args:
        limit: how many may work at once, at least 1.
        patience: seconds to wait for a turn.
        what: what waits, in the plural, for the message.
    """

    def __init__(self, limit: int, patience: float, what: str) -> None:
        self._limit = limit
        self._patience = patience
        self._what = what
        self._working = threading.BoundedSemaphore(limit)
        self._inside = threading.BoundedSemaphore(2 * limit)

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn, and hold it inside `with`.

        Raises:
            UnavailableError: too many wait already, or the turn did not come in time.
        """
        if not self._inside.acquire(blocking=False):
            raise self._busy()
        try:
            if not self._working.acquire(timeout=self._patience):
                raise self._busy()
            try:
                yield
            finally:
                self._working.release()
        finally:
            self._inside.release()

    def _busy(self) -> NoTurnError:
        return NoTurnError(
            f"busy: {self._limit} {self._what} are being worked on; try again in a moment"
        )


class NoTurnError(UnavailableError):
    """The request came when all turns were taken."""
