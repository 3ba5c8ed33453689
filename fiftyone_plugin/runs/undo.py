"""Undo a run: restore what it changed, and nothing else.

Values and labels that somebody edited after the run stay as they are; the record counts them. If
several runs wrote to one field, the newest must be undone first. Deleted samples and labels are
skipped. Undo can be killed at any point, and repeated.

Two traces stay: `last_modified_at`, because others must see that a document changed, and the files
of masks, because other datasets and exports may use them.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from dataclasses import astuple, replace
from typing import TYPE_CHECKING, Any

from pymongo import UpdateOne

from ..errors import PluginError
from ..labels.regions import OBJECT_SCORE, OPEN_LABEL
from . import records
from .bulk_write import labels_at, value_at, write
from .journal import (
    MISSING,
    Added,
    Change,
    JournalEntry,
    documents_of,
    entries_of,
    equal,
    label_stamp,
)
from .records import UNDONE, RunRecord, Undone
from .schema import undeclare
from .writer import ERROR

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from bson import ObjectId
    from fiftyone.core.collections import SampleCollection

    # A step is the journal of a run and its change of one value. Names holds all runs' steps, in
    # order, by attribute; the owner of the attributes is a label (or a sample: "", None).
    Step = tuple[str, Change]
    Names = Mapping[str, list[Step]]
    Owner = tuple[str, ObjectId | None]
    Steps = dict[Owner, dict[str, list[Step]]]
    Update = tuple[dict[str, Any], list[Mapping[str, Any]]]  # MongoDB's, with its array filters

_CHUNK = 500  # documents
_OF_ALL_RUNS = (ERROR.name, OBJECT_SCORE, OPEN_LABEL)


def undo_run(collection: SampleCollection, key: str, *, skip_missing: bool = False) -> RunRecord:
    """Undo a run that is finished or interrupted.

    Args:
        collection: the dataset, or a view of it: the whole run is undone in either case.
        key: the run's key.
        skip_missing: undo the rest if a field that the run wrote no longer exists.

    Returns:
        The run's record, with the outcome in `undone`.

    Raises:
        PluginError: there is no such run; it is still running, or undone already; another run is
            writing to the same fields, or a newer one wrote to them; the old values are not in this
            database; or a field is not found.
    """
    dataset = collection._root_dataset
    # Another process may have added runs and fields.
    dataset.reload()
    runs = records.list_runs(dataset)
    record = records.read_run(dataset, key)
    _check(record, runs)
    _check_fields(dataset, record, skip_missing)
    undo = _Undo(dataset, record, runs)
    record = replace(record, state="undoing", process=records.this_process(), seen=records.now())
    records.save(dataset, record)
    documents = documents_of(record.journal)
    while chunk := list(itertools.islice(documents, _CHUNK)):
        undo.take_back([document for document, _ in chunk], frames=chunk[0][1])
        record = replace(record, undone=undo.undone(), seen=records.now())
        records.save(dataset, record)
    gone = undeclare(dataset, record, [other for other in runs if other.key != key])
    undone = replace(undo.undone(), undeclared=tuple(gone))
    record = replace(record, state="undone", undone_at=records.now(), undone=undone)
    records.save(dataset, record)
    return record


def _check(record: RunRecord, runs: Sequence[RunRecord]) -> None:
    """Refuse a run that cannot be undone now; `runs` are all of the dataset, oldest first."""
    if record.state == "running":
        raise PluginError(f"The run {record.key!r} is still running: stop it first.")
    if record.state == "undone":
        raise PluginError(f"The run {record.key!r} is undone already.")
    newer = runs[[run.key for run in runs].index(record.key) + 1 :]
    for other in reversed(runs):
        if other.key == record.key:
            continue
        shared = _shared_paths(record, other)
        if shared and other.state == "running":
            raise PluginError(
                f"The run {other.key!r} is writing to the same fields: stop it, or wait for it."
            )
        # What every run writes does not count: undoing this run keeps a newer run's values, and
        # undoing that run later restores those from before both (see `without`).
        shared = [path for path in shared if path.rpartition(".")[2] not in _OF_ALL_RUNS]
        wrote = other in newer and shared and other.state != "undone"
        if wrote and next(documents_of(other.journal), None) is not None:
            raise PluginError(
                f"The newer run {other.key!r} wrote to {shared[0]!r} too: undo that run first."
            )


def _shared_paths(one: RunRecord, other: RunRecord) -> list[str]:
    """The paths that both runs write, or that are inside a field to which one adds labels."""
    return [
        path
        for path in other.paths
        for mine in one.paths
        if f"{path}.".startswith(f"{mine}.") or mine.startswith(f"{path}.")
    ]


def _check_fields(dataset: Any, record: RunRecord, skip_missing: bool) -> None:
    """Refuse a run whose old values or fields are not found."""
    if next(documents_of(record.journal), None) is None:
        if any(astuple(replace(record.counts, kept=0))):
            raise PluginError(
                f"The old values of the run {record.key!r} are not in this database, so it cannot "
                "be undone (was the dataset imported from another one?)."
            )
        return
    missing = [path for path in record.paths if dataset.get_field(path) is None]
    # An undo that was killed may have removed fields itself.
    if missing and not skip_missing and record.state != "undoing":
        raise PluginError(
            f"The field {missing[0]!r}, which the run {record.key!r} wrote, is not found. If it "
            "was renamed, rename it back; if it was deleted, undo the rest with skip_missing."
        )


def without(gone: Collection[str], steps: Sequence[Step], current: Any) -> Any:
    """The value as if some runs had never written it.

    Args:
        gone: the journals of the runs to leave out.
        steps: the changes of all runs, in the order of writing.
        current: the current value in MongoDB's types, or `MISSING`.

    Returns:
        The value in MongoDB's types, or `MISSING`; `current` if somebody else wrote it.
    """
    value = current
    # Go backwards from the current value: undo each step that wrote exactly this value; its old
    # value may come from an earlier step. No step wrote an edited value, so it stays.
    for run, change in reversed(steps):
        if equal(change.new, value):
            if run not in gone:
                break
            value = change.old
    return value


class _Undo:
    """Undoes one run, a chunk of documents at a time."""

    def __init__(self, dataset: Any, record: RunRecord, runs: Sequence[RunRecord]) -> None:
        self._dataset = dataset
        self._run = record.journal
        self._again = record.state == "undoing"
        self._journals = [run.journal for run in runs]  # all, since runs overwrite each other
        self._gone = {record.journal, *(run.journal for run in runs if run.state in UNDONE)}
        self.counts: Counter[str] = Counter()

    def undone(self) -> Undone:
        """The counts up to now."""
        return Undone(**self.counts)  # type: ignore[arg-type]  # it has no count of fields

    def take_back(self, documents: list[ObjectId], *, frames: bool) -> None:
        """Undo the run in some documents."""
        collection = self._dataset._frame_collection if frames else self._dataset._sample_collection
        entries: dict[ObjectId, list[JournalEntry]] = defaultdict(list)
        for entry in entries_of(self._journals, documents):
            entries[entry.document].append(entry)
        read = self._paths(itertools.chain.from_iterable(entries.values()))
        query = {"_id": {"$in": documents}}
        found = {document["_id"]: document for document in collection.find(query, read)}
        operations = [
            UpdateOne(
                {"_id": document},
                {
                    **update,
                    "$set": {**update.get("$set", {}), "last_modified_at": records.utc_now()},
                },
                array_filters=filters or None,
            )
            for document, of in entries.items()
            for update, filters in self._updates(of, found.get(document))
        ]
        changed = {operation._filter["_id"] for operation in operations}
        if refused := write(collection, frames, operations, changed):
            raise PluginError(f"The old values of the sample {refused[0]} no longer fit into it.")

    def _paths(self, entries: Iterable[JournalEntry]) -> list[str]:
        """The paths to read: only those that the run changed, as masks are large."""
        mine = [entry for entry in entries if entry.journal == self._run]
        whole = {added.field for entry in mine for added in entry.added}
        changes = (change for entry in mine for change in entry.changes)
        # The root of a sample's own field is "".
        parts = {
            f"{change.root}.{name}".removeprefix(".")
            for change in changes
            for name in ("_id", change.name)
        }
        return [*whole, *(path for path in parts if path.split(".", 1)[0] not in whole)]

    def _updates(self, entries: list[JournalEntry], found: dict[str, Any] | None) -> list[Update]:
        """The updates that undo the run in one document."""
        steps: Steps = defaultdict(lambda: defaultdict(list))
        for entry in entries:
            for change in entry.changes:
                steps[change.root, change.label][change.name].append((entry.journal, change))
        mine = {
            owner: {
                name: chain
                for name, chain in names.items()
                if any(run == self._run for run, _ in chain)
            }
            for owner, names in steps.items()
        }
        added = [one for entry in entries if entry.journal == self._run for one in entry.added]
        if found is None:
            self.counts["missing"] += sum(len(names) for names in mine.values())
            self.counts["missing"] += sum(len(one.labels) for one in added)
            return []
        # Labels come first: values on removed labels need no restoring.
        updates = [self._removal(added, steps, found, mine)] if added else []
        updates.append(self._restoration(mine, found))
        return [(update, filters) for update, filters in updates if update]

    def _removal(
        self, added: list[Added], steps: Steps, found: dict[str, Any], mine: Steps
    ) -> Update:
        """The update that removes the run's labels, and the field if the run made it.

        Labels that somebody changed since stay; the others' values are removed from `mine`.
        """
        root = added[0].root  # a run adds labels to one list
        stamps = {label: stamp for one in added for label, stamp in one.labels.items()}
        present = {label["_id"]: label for label in labels_at(found, root)}
        there = stamps.keys() & present.keys()
        unedited = []
        for label in there:
            plain = dict(present[label])
            for name, chain in steps[root, label].items():  # by undone runs, since then
                plain[name] = without(self._gone, chain, plain.get(name, MISSING))
            if label_stamp(plain) == stamps[label]:
                unedited.append(label)
                mine.pop((root, label), None)
        # If an undo is repeated, its first attempt most probably removed the absent labels.
        absent = "removed" if self._again else "missing"
        self.counts[absent] += len(stamps) - len(there)
        self.counts["removed"] += len(unedited)
        self.counts["kept"] += len(there) - len(unedited)
        made = next((one for one in added if one.made), None)
        if made and value_at(found, root) is not None and len(unedited) == len(present):
            if made.old is MISSING:
                return {"$unset": {made.field: ""}}, []
            return {"$set": {made.field: made.old}}, []
        return {"$pull": {root: {"_id": {"$in": unedited}}}} if unedited else {}, []

    def _restoration(self, steps: Mapping[Owner, Names], found: dict[str, Any]) -> Update:
        """The update that restores values, and its filters, which find labels in their lists."""
        owners: dict[Owner, dict[str, Any]] = {
            (root, label["_id"]): label
            for root in {root for root, _ in steps}
            for label in labels_at(found, root)
        }
        owners["", None] = found
        update: dict[str, dict[str, Any]] = defaultdict(dict)
        filters: dict[str, Mapping[str, Any]] = {}
        for (root, label), names in steps.items():
            owner = owners.get((root, label))
            if owner is None:
                self.counts["missing"] += len(names)
                continue
            prefix = f"{root}." if root else ""
            alias = f"l{len(filters)}"
            if isinstance(value_at(found, root), list):
                prefix = f"{root}.$[{alias}]."
            for name, chain in names.items():
                current = owner.get(name, MISSING)
                value = without(self._gone, chain, current)
                if not equal(value, current):
                    update["$unset" if value is MISSING else "$set"][prefix + name] = (
                        "" if value is MISSING else value
                    )
                    if "$" in prefix:
                        filters[alias] = {f"{alias}._id": label}
                    self.counts["restored"] += 1
                elif any(equal(change.old, value) for run, change in chain if run == self._run):
                    self.counts["restored"] += 1  # by an undo that was killed
                else:
                    self.counts["kept"] += 1
        return dict(update), list(filters.values())
