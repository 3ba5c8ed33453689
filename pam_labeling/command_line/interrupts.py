"""End a run in order when the system asks the process to end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Terminated(KeyboardInterrupt):
    """The process was asked to end: by `kill`, a batch system, or a container's stop."""


@contextmanager
def terminable() -> Iterator[None]:
    """Raise `Terminated` in the main thread at the first SIGTERM; ignore further ones."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread can handle signals
        return

    def end(number: int, _frame: object) -> None:
        signal.signal(number, signal.SIG_IGN)  # what was done is being saved
        raise Terminated

    previous = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous or signal.SIG_DFL)
