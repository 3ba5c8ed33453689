"""Who measures coverage now: it slows every step of Python, those of FiftyOne and torch too."""

from __future__ import annotations

import sys
from typing import Any


def coverage_tracer() -> Any:
    """What measures this thread's coverage; None without coverage, or under a debugger."""
    tracer = sys.gettrace()
    return tracer if type(tracer).__module__.partition(".")[0] == "coverage" else None
