"""The operators: those on regions run the model, those on runs list, compare and undo them."""

from __future__ import annotations

from typing import Any

from .embed_operator import EmbedRegions
from .region_operators import (
    CaptionRegions,
    CaptionSelected,
    FindRegions,
    LabelRegions,
    SegmentRegions,
)
from .run_operators import CompareRuns, ListRuns, StopRun, UndoRun

OPERATORS: tuple[type[Any], ...] = (
    CaptionRegions,
    SegmentRegions,
    FindRegions,
    LabelRegions,
    EmbedRegions,
    CaptionSelected,
    UndoRun,
    ListRuns,
    CompareRuns,
    StopRun,
)
