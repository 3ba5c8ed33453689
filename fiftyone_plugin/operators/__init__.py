"""The operators, one to a file."""

from __future__ import annotations

from typing import Any

from .caption_regions import CaptionRegions
from .caption_selected import CaptionSelected
from .compare_runs import CompareRuns
from .find_regions import FindRegions
from .label_regions import LabelRegions
from .list_runs import ListRuns
from .segment_regions import SegmentRegions
from .stop_run import StopRun
from .undo_run import UndoRun

OPERATORS: tuple[type[Any], ...] = (
    CaptionRegions,
    SegmentRegions,
    FindRegions,
    LabelRegions,
    CaptionSelected,
    UndoRun,
    ListRuns,
    CompareRuns,
    StopRun,
)
