"""The lines of a sample's summary, renewed after a person edited one of its regions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pymongo import UpdateOne

from ..runs.bulk_write import labels_at, write
from ..runs.journal import Change, Journal, entries_of, equal, stamp
from ..runs.records import UNDONE, list_runs, utc_now
from ..runs.summaries import classes_of

if TYPE_CHECKING:
    from bson import ObjectId

    from ..labels.fields import LabelField


def renew_summary(place: LabelField, document: ObjectId) -> None:
    """Make the lines of a sample (or frame) anew, if they are as the last run on it left them.

    The change goes into that run's journal, so that undoing the run removes the lines too.

    Args:
        place: the labels that were edited.
        document: the id of the sample or frame.
    """
    for record in reversed(list_runs(place.dataset)):
        summary = record.summary
        if summary is None or record.state in UNDONE:
            continue
        if (summary.root, summary.frames) != (place.root, place.frames):
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
            continue  # an older run's, or a person's own words
        lines = summary.lines(labels_at(found, place.root), classes_of(place.dataset, summary))
        journal = Journal(record.journal)
        change = Change("", None, summary.name, old, stamp(lines))
        journal.write([journal.entry(document, place.frames, [change])])
        update = {"$set": {summary.name: lines, "last_modified_at": utc_now()}}
        write(place.documents, place.frames, [UpdateOne({"_id": document}, update)], [document])
        return
