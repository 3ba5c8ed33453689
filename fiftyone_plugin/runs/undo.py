"""Takes back what a run changed, and nothing else.

What somebody edited after the run stays as edited, also labels of the run that somebody edited; the
record says how many. Runs that overlap can be undone in any order: while a later run's value is
there it stays, and undoing that run brings back what was before both. A later run's summary of a
sample's regions stays too, and loses the lines of what is taken back. What is no longer there (a
sample, a label, a field) is passed over. Undo can be killed anywhere, and repeated.

It leaves two traces: `last_modified_at`, for others have to learn that a document changed, and the
files of masks, as other datasets and exports may point at them.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from pymongo import UpdateOne

from ..errors import PluginError
from . import records
from .bulk_write import labels_at, write
from .history import MISSING, Fate, Step, equal, without
from .journal import Added, Entry, documents_of, entries_of, label_stamp
from .records import RunRecord, Undone
from .renamed_fields import refuse_renamed
from .schema import undeclare
from .summary_sync import rebuild_summaries

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bson import ObjectId
    from fiftyone.core.collections import SampleCollection

_CHUNK = 500  # documents

_Place = tuple["ObjectId | None", str, str]  # label, path of the labels, attribute


@dataclass
class _Document:
    """What all runs did to one document."""

    steps: dict[_Place, list[Step]] = field(default_factory=lambda: defaultdict(list))
    added: list[tuple[str, Added]] = field(default_factory=list)


def undo_run(collection: SampleCollection, key: str) -> RunRecord:
    """Undo a run that is finished or interrupted; see the module for what that means.

    Args:
        collection: the dataset, or a view on it: all that the run did is undone anyway.
        key: the run.

    Returns:
        The run's record, with what was done in `undone`.

    Raises:
        PluginError: there is no such run, it is still running or undone already, another run is
            writing to the same place, the old values are not in this database, or what the run
            wrote has another name now.
    """
    dataset = collection._root_dataset
    record = records.read_run(dataset, key)
    others = [other for other in records.list_runs(dataset) if other.key != key]
    _check(dataset, record, others)
    again = record.state == "undoing"
    record = replace(record, state="undoing", process=records.this_process(), seen=records.now())
    records.save(dataset, record)
    undo = _Undo(dataset, record, others, again)
    for chunk in _chunks(documents_of(record.journal)):
        undo.take_back(chunk)
        changed = [document for document, _ in chunk]
        rebuild_summaries(dataset, changed, frames=chunk[0][1])
        record = replace(record, undone=undo.done, seen=records.now())
        records.save(dataset, record)
    gone = undeclare(dataset, record, others)
    record = replace(
        record,
        state="undone",
        undone_at=records.now(),
        undone=replace(undo.done, undeclared=tuple(gone)),
    )
    records.save(dataset, record)
    return record


def _check(dataset: Any, record: RunRecord, others: list[RunRecord]) -> None:
    if record.state == "running":
        raise PluginError(f"The run {record.key!r} is still running: stop it first.")
    if record.state == "undone":
        raise PluginError(f"The run {record.key!r} is undone already.")
    for other in others:
        if other.state == "running" and set(other.paths) & set(record.paths):
            raise PluginError(
                f"The run {other.key!r} is writing to the same fields: stop it, or wait for it."
            )
    counts = record.counts
    wrote = counts.regions + counts.added + counts.failed + counts.samples
    if wrote and next(documents_of(record.journal), None) is None:
        raise PluginError(
            f"The old values of the run {record.key!r} are not in this database, so it cannot be "
            "undone (was the dataset imported from another one?)."
        )
    refuse_renamed(dataset, record)


def _chunks(documents: Iterator[tuple[ObjectId, bool]]) -> Iterator[list[tuple[ObjectId, bool]]]:
    while chunk := list(islice(documents, _CHUNK)):
        yield chunk


class _Undo:
    """Undoes one run, a chunk of documents at a time."""

    def __init__(
        self, dataset: Any, record: RunRecord, others: list[RunRecord], again: bool
    ) -> None:
        self._again = again
        self._dataset = dataset
        self._run = record.journal
        self._journals = [record.journal, *(other.journal for other in others)]
        self._undone = {other.journal for other in others if other.state in {"undoing", "undone"}}
        self.done = Undone()

    def take_back(self, chunk: list[tuple[ObjectId, bool]]) -> None:
        """Undo the run in some documents."""
        frames = chunk[0][1]
        collection = self._dataset._frame_collection if frames else self._dataset._sample_collection
        histories: dict[ObjectId, _Document] = defaultdict(_Document)
        for entry in entries_of(self._journals, [document for document, _ in chunk]):
            _remember(histories[entry.document], entry)
        found = _read(collection, histories, self._run)
        operations: list[UpdateOne] = []
        for document, history in histories.items():
            operations += self._operations(document, history, found.get(document))
        changed = {operation._filter["_id"] for operation in operations}
        if refused := write(collection, frames, operations, changed):
            raise PluginError(f"The old values of the sample {refused[0]} no longer fit into it.")

    def _operations(
        self, document: ObjectId, history: _Document, found: dict[str, Any] | None
    ) -> list[UpdateOne]:
        """What changes one document back."""
        mine = {
            place: steps
            for place, steps in history.steps.items()
            if any(step.run == self._run for step in steps)
        }
        added = [one for run, one in history.added if run == self._run]
        if found is None:
            self._count(missing=len(mine) + sum(len(one.labels) for one in added))
            return []
        removed: set[ObjectId] = set()
        operations = []
        for root in dict.fromkeys(one.root for one in added):
            gone, operation = self._remove(document, history, found, root)
            removed |= gone
            operations += operation
        update = _Update(document)
        labels = {root: _labels(found, root) for root in {root for _, root, _ in mine}}
        for (label, root, name), steps in mine.items():
            if label in removed:
                continue
            owner = found if label is None else labels[root].get(label)
            if owner is None:
                self._count(missing=1)
            else:
                in_list = isinstance(_at(found, root), list)
                self._restore(update, owner, (label, root, name), steps, in_list)
        return operations + update.operations()

    def _restore(
        self,
        update: _Update,
        owner: dict[str, Any],
        place: _Place,
        steps: list[Step],
        in_list: bool,
    ) -> None:
        """Put one value back into its label or document, if it is the run's."""
        label, root, name = place
        verdict = without(self._run, steps, owner.get(name, MISSING), self._undone)
        if verdict.fate is Fate.KEPT:
            self._count(kept=1)
        elif verdict.fate is Fate.SUPERSEDED:
            self._count(superseded=1)
        else:
            self._count(restored=1)
        if verdict.fate is Fate.RESTORE:
            update.put(label, root, name, verdict.value, in_list)

    def _remove(
        self, document: ObjectId, history: _Document, found: dict[str, Any], root: str
    ) -> tuple[set[ObjectId], list[UpdateOne]]:
        """Take away the labels that the run added to one list, unless somebody edited them."""
        present = _labels(found, root)
        stamps = {
            label: one
            for run, added in history.added
            if run == self._run and added.root == root
            for label, one in added.labels.items()
        }
        written: dict[ObjectId | None, dict[str, list[Step]]] = defaultdict(dict)
        for (label, path, name), steps in history.steps.items():
            if path == root:
                written[label][name] = steps
        mine = stamps.keys() & present.keys()
        removed = {
            label
            for label in mine
            if label_stamp(_as_added(present[label], written[label])) == stamps[label]
        }
        gone = len(stamps.keys() - mine)
        if self._again:  # most probably gone by the undo that was interrupted
            self._count(removed=len(removed) + gone, kept=len(mine - removed))
        else:
            self._count(removed=len(removed), kept=len(mine - removed), missing=gone)
        if _at(found, root) is None:
            return removed, []
        if removed != present.keys():
            pull = {"$pull": {root: {"_id": {"$in": list(removed)}}}}
            return removed, [_touch(document, pull)] if removed else []
        return removed, self._empty(document, history, root, present.keys())

    def _empty(
        self, document: ObjectId, history: _Document, root: str, labels: Any
    ) -> list[UpdateOne]:
        """Take away all labels of a list, and the list too if a run that is undone had made it."""
        made = next((one for one in history.added if one[1].root == root and one[1].made), None)
        if made is None or made[0] not in {self._run, *self._undone}:
            pull = {"$pull": {root: {"_id": {"$in": list(labels)}}}}
            return [_touch(document, pull)] if labels else []
        added = made[1]
        if added.missing:
            return [_touch(document, {"$unset": {added.field: ""}})]
        return [_touch(document, {"$set": {added.field: added.old}})]

    def _count(self, **more: int) -> None:
        counts = {name: getattr(self.done, name) + number for name, number in more.items()}
        self.done = replace(self.done, **counts)


class _Update:
    """The one operation that puts values back into one document."""

    def __init__(self, document: ObjectId) -> None:
        self._document = document
        self._set: dict[str, Any] = {}
        self._unset: dict[str, str] = {}
        self._filters: dict[ObjectId, str] = {}

    def put(self, label: ObjectId | None, root: str, name: str, value: Any, in_list: bool) -> None:
        """Put one value back, or take it away where it is `MISSING`."""
        path = name if label is None else f"{root}.{name}"
        if label is not None and in_list:
            known = self._filters.setdefault(label, f"l{len(self._filters)}")
            path = f"{root}.$[{known}].{name}"
        if value is MISSING:
            self._unset[path] = ""
        else:
            self._set[path] = value

    def operations(self) -> list[UpdateOne]:
        """The operation, if there is anything to put back."""
        update: dict[str, Any] = {}
        if self._set:
            update["$set"] = self._set
        if self._unset:
            update["$unset"] = self._unset
        filters = [{f"{name}._id": label} for label, name in self._filters.items()]
        return [_touch(self._document, update, filters)] if update else []


def _touch(
    document: ObjectId, update: dict[str, Any], filters: Sequence[Mapping[str, Any]] = ()
) -> UpdateOne:
    values = {**update.get("$set", {}), "last_modified_at": records.utc_now()}
    return UpdateOne(
        {"_id": document}, {**update, "$set": values}, array_filters=list(filters) or None
    )


def _remember(history: _Document, entry: Entry) -> None:
    for change in entry.changes:
        label, name = change.slot
        old = MISSING if change.missing else change.old
        history.steps[label, change.root, name].append(Step(entry.journal, old, change.new))
    history.added += [(entry.journal, added) for added in entry.added]


def _read(
    collection: Any, histories: dict[ObjectId, _Document], run: str
) -> dict[ObjectId, dict[str, Any]]:
    """The documents, of which only what the run changed."""
    whole = {
        added.field
        for history in histories.values()
        for journal, added in history.added
        if journal == run
    }
    paths = {"_id"}
    for history in histories.values():
        for (label, root, name), steps in history.steps.items():
            if any(step.run == run for step in steps):
                paths |= {name} if label is None else {f"{root}._id", f"{root}.{name}"}
    parts = {path for path in paths if path.split(".", 1)[0] not in whole}
    query = {"_id": {"$in": list(histories)}}
    found = collection.find(query, dict.fromkeys(parts | whole, True))
    return {document["_id"]: document for document in found}


def _at(document: dict[str, Any], path: str) -> Any:
    value: Any = document
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _labels(document: dict[str, Any], root: str) -> dict[ObjectId, dict[str, Any]]:
    return {label["_id"]: label for label in labels_at(document, root)}


def _as_added(label: dict[str, Any], written: dict[str, list[Step]]) -> dict[str, Any]:
    """A label without what runs wrote onto it since it was added."""
    plain = dict(label)
    for name, steps in written.items():
        if name in plain and any(equal(step.new, plain[name]) for step in steps):
            plain[name] = None if steps[0].old is MISSING else steps[0].old
    return plain
