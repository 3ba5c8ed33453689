"""Make one call for all threads that want the same thing at the same time."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Shares the result of a call with the threads that ask for it while it runs.

    The result is not kept: the next thread calls again.
    """

    def __init__(self) -> None:
        self._running: dict[Hashable, Future[T]] = {}
        self._lock = threading.Lock()

    def call(self, key: Hashable, function: Callable[[], T]) -> T:
        """Call `function`, or wait for the thread that already does so under this key.

        Raises:
            Exception: what `function` raised, in every thread that waits for it.
        """
        with self._lock:
            running = self._running.get(key)
            if running is None:
                mine = self._running[key] = Future()
        if running is not None:
            return running.result()
        try:
            mine.set_result(function())
        except BaseException as error:  # noqa: BLE001 - passed on to every thread
            mine.set_exception(error)
        finally:
            with self._lock:
                del self._running[key]
        return mine.result()
