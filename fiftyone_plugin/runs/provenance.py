"""Find which attributes of a field hold which answers, by the records of the runs on a dataset."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pam_model.tasks import Task

from ..labels.entries import SaidIn
from ..labels.fields import attributes_of
from .records import UNDONE, list_runs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..targets.target import Target
    from .records import RunRecord


@dataclass(frozen=True)
class Provenance:
    """Where the answers about a field's labels are, and who gave them.

    Attributes:
        said_in: the attributes.
        language: of the texts, en or zh.
        model: the checkpoint of the newest run, or None if no run wrote there.
    """

    said_in: SaidIn
    language: str
    model: str | None


def provenance_of(target: Target, language: str | None = None) -> Provenance:
    """What the runs on a dataset wrote on a field's labels, the newest answers where several are.

    Runs on other fields count too, because attributes are copied with labels to new fields; but
    those on the field itself count more.

    Args:
        target: the field.
        language: of the texts; None: that of the newest run that wrote any.
    """
    there = attributes_of(target.dataset, str(target.field))
    records = [record for record in list_runs(target.dataset) if record.state not in UNDONE]
    records.sort(key=lambda record: record.field == target.field)  # stable: the newest stay last
    texts: dict[tuple[str, str], str] = {}
    scores = {"score": "confidence"}
    newest, open_label, model = "en", None, None
    for record in records:
        said, scored = _texts(record, there), _scores(record, there)
        texts |= said
        scores |= scored
        newest = next((language for _, language in said), newest)
        model = record.model if said or scored else model
        named = record.parameters.get("open_label")
        open_label = named if named in there else open_label
    chosen = language or newest
    spoken = {task: name for (task, language), name in texts.items() if language == chosen}
    return Provenance(SaidIn(spoken, scores, "label", open_label), chosen, model)


def _texts(record: RunRecord, there: Mapping[str, Any]) -> dict[tuple[str, str], str]:
    """The attribute of each task's text that a run wrote, by task and language."""
    language = record.parameters.get("language") or "en"
    named = {(task.value, language): record.parameters.get(task.value) for task in Task}
    return {key: str(name) for key, name in named.items() if name in there}


def _scores(record: RunRecord, there: Mapping[str, Any]) -> dict[str, str]:
    """The attribute of each score that a run wrote."""
    by_class = record.operator == "label_regions" or record.parameters.get("classes")
    named = {
        "label" if by_class else "iou": record.parameters.get("score"),
        "object": record.parameters.get("object_score"),
    }
    return {score: str(name) for score, name in named.items() if name in there}
