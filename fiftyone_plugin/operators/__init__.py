"""The operators: they run the model on regions or export these; list, compare and undo runs."""

from __future__ import annotations

from typing import Any

from .embed_operator import EmbedRegions
from .export_operator import ExportRegions
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
    ExportRegions,
    UndoRun,
    ListRuns,
    CompareRuns,
    StopRun,
)
