"""Keeps the summaries that runs wrote as the regions are now.

A summary that was rebuilt counts as written by the run whose lines it had, and is in that run's
journal: so undoing all runs brings back exactly what was there before them. Lines that somebody
else wrote are left alone.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from pymongo import UpdateOne

from . import records
from .bulk_write import labels_at, write
from .history import MISSING, equal
from .journal import Change, Journal, entries_of, stamp
from .summaries import Summary, classes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from bson import ObjectId

    from .journal import Entry


class Summaries:
    """The summaries of the runs of a dataset that are not undone.

    Args:
        dataset: the source dataset.
        frames: those of frames, or else of samples.
    """

    def __init__(self, dataset: Any, *, frames: bool) -> None:
        self._dataset = dataset
        self._frames = frames
        self._collection = dataset._frame_collection if frames else dataset._sample_collection
        self._kept: dict[str, Summary] = {
            record.journal: record.summary
            for record in records.list_runs(dataset)
            if record.summary is not None
            and record.summary.frames == frames
            and record.state not in ("undoing", "undone")
        }

    def depend_on(self, root: str, names: Sequence[str]) -> bool:
        """Whether any is made of one of these attributes, or of the name, of the labels there."""
        return any(
            summary.root == root and {summary.attribute, "label"} & set(names)
            for summary in self._kept.values()
        )

    def rebuild(self, documents: Sequence[ObjectId]) -> int:
        """Make the lines of some samples (or frames) anew; how many were others.

        Args:
            documents: as many as fit into memory.
        """
        if not self._kept or not documents:
            return 0
        written = self._written(documents)
        names = {summary.name for summary in self._kept.values()}
        parts = {path for summary in self._kept.values() for path in summary.paths}
        found = self._collection.find({"_id": {"$in": list(written)}}, [*names, *parts])
        journals = {journal: Journal(journal) for journal in self._kept}
        entries: dict[str, list[Entry]] = defaultdict(list)
        operations = []
        for document in found:
            for name in names:
                journal = _holder(written[document["_id"]][name], document.get(name, MISSING))
                if journal is None:
                    continue
                summary = self._kept[journal]
                lines = self._lines(summary, document)
                if lines == document[name]:
                    continue
                change = Change((None, name), document[name], False, stamp(lines), "")
                entries[journal].append(
                    journals[journal].entry(document["_id"], self._frames, [change], [])
                )
                update = {"$set": {name: lines, "last_modified_at": records.utc_now()}}
                operations.append(UpdateOne({"_id": document["_id"]}, update))
        for journal, some in entries.items():
            journals[journal].write(some)
        write(
            self._collection,
            self._frames,
            operations,
            {operation._filter["_id"] for operation in operations},
        )
        return len(operations)

    def _lines(self, summary: Summary, document: dict[str, Any]) -> list[str]:
        return summary.lines(labels_at(document, summary.root), classes_of(self._dataset, summary))

    def _written(
        self, documents: Sequence[ObjectId]
    ) -> dict[ObjectId, dict[str, list[tuple[str, Any]]]]:
        """What the runs left in each document's summaries, in the order of writing."""
        found: dict[ObjectId, dict[str, list[tuple[str, Any]]]] = {}
        for entry in entries_of(list(self._kept), documents):
            slots = found.setdefault(entry.document, defaultdict(list))
            for change in entry.changes:
                if change.slot == (None, self._kept[entry.journal].name):
                    slots[change.slot[1]].append((entry.journal, change.new))
        return found


def rebuild_summaries(dataset: Any, documents: Sequence[ObjectId], *, frames: bool = False) -> int:
    """Make the summary lines of some samples (or frames) anew, from what their regions have now.

    Args:
        dataset: the source dataset.
        documents: ids of samples, or of frames.
        frames: which of them.

    Returns:
        How many samples or frames had other lines.
    """
    return Summaries(dataset, frames=frames).rebuild(documents)


def _holder(written: list[tuple[str, Any]], current: Any) -> str | None:
    """The journal of the run that left what is there now; None: it is somebody else's."""
    if current is MISSING or current is None:
        return None
    left = [journal for journal, new in written if equal(new, current)]
    return left[-1] if left else None
