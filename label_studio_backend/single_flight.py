"""Make one call for all threads that want the same thing at the same time."""

from __future__ import annotations

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

    def call(self, key: Hashable, function: Callable[[], T]) -> T:
        """Call `function`, or wait for the thread that already does so under this key.

        Raises:
            Exception: what `function` raised, in every thread that waits for it.
        """
        mine: Future[T] = Future()
        running = self._running.setdefault(key, mine)  # atomic: one thread's future gets in
        if running is not mine:
            return running.result()
        try:
            mine.set_result(function())
        except BaseException as error:  # noqa: BLE001 - passed on to every thread
            mine.set_exception(error)
        finally:
            del self._running[key]
        return mine.result()
