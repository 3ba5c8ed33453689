"""Masks, labels and captions on the regions that a FiftyOne dataset already has."""

from __future__ import annotations

from typing import Any


def register(plugin: Any) -> None:
    """Register operators and panel with FiftyOne's plugin context."""
    # Not at the top: the parts of the package are of use without the others.
    from .operators import OPERATORS  # noqa: PLC0415
    from .review.panel import register as register_panel  # noqa: PLC0415

    for operator in OPERATORS:
        plugin.register(operator)
    register_panel(plugin)
