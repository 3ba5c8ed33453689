"""A FiftyOne plugin that adds masks, labels and captions to the regions of a dataset."""

from __future__ import annotations

from typing import Any


def register(plugin: Any) -> None:
    """Register operators and panels with FiftyOne's plugin context."""
    # Imported here, so that each part of the package can be used without the others.
    from .operators import OPERATORS  # noqa: PLC0415
    from .operators.runs_panel import RunsPanel  # noqa: PLC0415
    from .review.panel import ReviewPanel  # noqa: PLC0415

    for each in (*OPERATORS, ReviewPanel, RunsPanel):
        plugin.register(each)
