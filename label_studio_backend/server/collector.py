"""Python's cycle collector, kept from stopping all threads for long.

A full collection holds the interpreter's lock while it goes through every object there is: a
quarter of a second for those of torch and transformers, more for a body of millions of numbers.
`/health` would wait as long.
"""

from __future__ import annotations

import gc
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_lock = threading.Lock()
_resting = 0


@contextmanager
def collector_rests() -> Iterator[None]:
    """No collection begins in any thread; what is in no cycle is freed as always.

    For work that makes many objects and few cycles. Of several at once, the last one ends it.
    """
    global _resting  # noqa: PLW0603 - the collector is one for the whole process
    with _lock:
        _resting += 1
        gc.disable()
    try:
        yield
    finally:
        with _lock:
            _resting -= 1
            if not _resting:
                gc.enable()


def keep_what_is_there() -> None:
    """Leave what exists now out of all collections to come."""
    gc.freeze()
