"""Stop a command in order at Ctrl-C and SIGTERM."""

from __future__ import annotations

import signal
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator
    from types import FrameType

    from rich.console import Console


@contextmanager
def stopping(stop: threading.Event, console: Console) -> Iterator[None]:
    """Inside, the first Ctrl-C (or SIGTERM) sets `stop`, and the second interrupts."""

    def handle(number: int, frame: FrameType | None) -> None:
        if stop.is_set():
            signal.default_int_handler(number, frame)
        stop.set()
        console.print("[yellow]stopping: what is finished is still written[/]")

    with signals(handle):
        yield


@contextmanager
def signals(handle: Callable[[int, FrameType | None], object]) -> Iterator[None]:
    """Inside, Ctrl-C and SIGTERM call `handle`."""
    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
