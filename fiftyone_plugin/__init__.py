"""Masks, labels and captions on the regions that a FiftyOne dataset already has."""

from __future__ import annotations

from typing import Any


def register(plugin: Any) -> None:
    """Register operators and panel with FiftyOne's plugin context."""
    # Not at the top: the parts of the package are of use without the others.
    from .operators import OPERATORS  # noqa: PLC0415
    from .review.panel import ReviewPanel  # noqa: PLC0415

    for each in (*OPERATORS, ReviewPanel):
        plugin.register(each)
