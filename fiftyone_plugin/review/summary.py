"""Keep the samples' lines of captions in step with a person's edits."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..runs.bulk_write import Pending, flush, labels_at
from ..runs.journal import Journal, entries_of, equal
from ..runs.records import UNDONE, list_runs
from ..runs.summaries import classes_of
from ..runs.writer import ERROR

if TYPE_CHECKING:
    from bson import ObjectId

    from ..labels.fields import LabelField


def renew_summary(place: LabelField, document: ObjectId) -> None:
    """Renew the summary lines of a sample (or frame), if they are as its last run left them.

    The change goes into that run's journal, so that undoing the run removes the lines too.

    Args:
        place: the labels that were edited.
        document: the id of the sample or frame.
    """
    for record in reversed(list_runs(place.dataset)):
        summary = record.summary
        if (
            summary is None
            or record.state in UNDONE
            or (summary.root, summary.frames) != (place.root, place.frames)
        ):
            continue
        written = [
            change.new
            for entry in entries_of([record.journal], [document])
            for change in entry.changes
            if (change.root, change.name) == ("", summary.name)
        ]
        found = place.documents.find_one({"_id": document}, [summary.name, *summary.paths]) or {}
        old = found.get(summary.name)
        if not written or old is None or not equal(written[-1], old):
            continue  # written by an older run or by a person
        lines = summary.lines(labels_at(found, place.root), classes_of(place.dataset, summary))
        pending = {document: Pending(fields={summary.name: lines})}
        flush(place, Journal(record.journal), pending, ERROR.name, keep_error=[document])
        return
