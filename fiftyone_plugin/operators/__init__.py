"""The operators: those that run the model have a file each."""

from __future__ import annotations

from typing import Any

from .caption_regions import CaptionRegions
from .caption_selected import CaptionSelected
from .find_regions import FindRegions
from .label_regions import LabelRegions
from .run_operators import CompareRuns, ListRuns, StopRun, UndoRun
from .segment_regions import SegmentRegions

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
