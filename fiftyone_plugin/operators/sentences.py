"""Runs in a curator's words: what each did, when, and how it ended."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from ..labels.regions import OBJECT_SCORE, OPEN_LABEL, PROMPT_ID
from .new_fields import made_by

if TYPE_CHECKING:
    from ..runs.records import RunCounts, RunRecord

_LANGUAGES = {"en": "English", "zh": "Chinese"}
BESIDE = (OBJECT_SCORE, OPEN_LABEL, PROMPT_ID, "mask", "mask_path", "bounding_box")
"""What runs write beside their answers, and the parts of a mask."""


def counted(number: int, noun: str) -> str:
    """A number with its noun."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def moment_of(record: RunRecord) -> str:
    """When a run began; the App also shows times in UTC."""
    began = datetime.fromisoformat(record.started)
    return f"{began.day} {began:%b %Y, %H:%M} UTC"


def title_of(record: RunRecord) -> str:
    """What a run does, such as "Caption regions: caption, story of ground_truth, in Chinese"."""
    name = record.operator.replace("_", " ").capitalize()
    if made_by(record):
        return f"{name}: {record.field}"
    inside = [path for path in record.paths if path.startswith(f"{record.field}.")]
    written = [path.rpartition(".")[2] for path in inside]
    answers = ", ".join(one for one in written if one not in BESIDE) or "masks"
    language = _LANGUAGES.get(record.parameters.get("language") or "")
    return f"{name}: {answers} of {record.field}{f', in {language}' if language else ''}"


def outcome_of(record: RunRecord) -> str:
    """How a run ended, or what it has done so far."""
    counts = record.counts
    if record.operator == "find_regions":
        done = f"{counted(counts.added, 'region')} found"
    else:
        done = f"{counted(counts.added or counts.regions, 'region')} written"
    state = {
        "running": "running",
        "interrupted": "stopped",
        "undoing": "undone in part",
        "undone": "undone",
    }.get(record.state)
    kept = f"{counts.kept:,} by a person kept" if counts.kept else None
    failed = failures_of(counts) if counts.failed else None
    return ", ".join(part for part in (state, done, kept, failed) if part)


def failures_of(counts: RunCounts) -> str:
    """How much of a run failed: regions, or images in which everything is looked for."""
    images = counted(counts.failed, "image")
    if not counts.failed_regions:
        return f"{images} failed"
    return f"{counted(counts.failed_regions, 'region')} failed in {images}"


def ended(record: RunRecord) -> str:
    """The outcome of a run, as a message."""
    reason = ""
    if record.state == "interrupted" and record.reason != "It was stopped.":
        reason = f" {record.reason}"
    where = " The reasons are in the field pam_error." if record.counts.failed else ""
    return f"{title_of(record)}: {outcome_of(record)}.{reason}{where}"


def shown(value: Any) -> str:
    """A value that a run wrote, for people."""
    return f"{value:.2f}" if isinstance(value, float) else str(value)
