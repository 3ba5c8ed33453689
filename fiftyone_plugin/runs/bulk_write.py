"""Bulk writes: one flush reads the old values, writes them to the journal, and changes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import fiftyone.core.frame as fofr
import fiftyone.core.sample as fos
from pymongo import UpdateOne
from pymongo.errors import BulkWriteError

from ..errors import PluginError
from ..labels.marks import OLD_MARK, mark_of, text_of_old_mark, texts_of
from .journal import MISSING, Added, Change, Journal, JournalEntry, equal, label_stamp, stamp
from .records import utc_now
from .summaries import Summary, classes_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from bson import ObjectId

    from ..labels.fields import LabelField
    from .authorship import Held

_TOO_LARGE = frozenset({10334, 17280, 17419, 17420})  # a document of more than 16 MB, for MongoDB
_MOST_BYTES = 15 * 1024 * 1024  # values in one operation: the rest of the 16 MB is for paths
_WITHOUT_LIST = "_pam_without_list"  # the labels' field as it is read if it has no list
DELETED = "The sample was deleted while the run was working on it."
_FULL = (
    "The sample would grow beyond the 16 MB that FiftyOne's database allows for one: keep masks as "
    "files (mask_path)."
)


@dataclass
class Pending:
    """The values that wait to be written to one document, in MongoDB's types; `size` in bytes."""

    size: int = 0
    labels: dict[ObjectId, dict[str, Any]] = field(default_factory=dict)
    fields: dict[str, Any] = field(default_factory=dict)
    added: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class FlushResult:
    """The result of a flush.

    Attributes:
        results: the documents that got more than a reason for their failure.
        cleared: whether an earlier run's reason was removed.
        regions: the number of labels that got values.
        added: the number of new labels.
        gone: the number of labels that were deleted before they got values.
        kept: the number of labels and lists that kept a person's values.
        refused: document that could not be written -> the reason.
    """

    results: set[ObjectId] = field(default_factory=set)
    cleared: bool = False
    regions: int = 0
    added: int = 0
    gone: int = 0
    kept: int = 0
    refused: dict[ObjectId, str] = field(default_factory=dict)


def flush(
    place: LabelField,
    journal: Journal,
    pending: dict[ObjectId, Pending],
    error_field: str,
    keep_error: Collection[ObjectId],
    summary: Summary | None = None,
    held: Mapping[ObjectId, Mapping[str, Held]] | None = None,
) -> FlushResult:
    """Write the pending values.

    A text that is replaced loses its mark of review, which was for the old text.

    Args:
        place: the field of the labels.
        journal: gets the old values before anything is changed.
        pending: the values by document.
        error_field: cleared in documents that get results now and failed in the last run.
        keep_error: documents whose `error_field` is not cleared.
        summary: renewed in documents whose labels get values.
        held: what is a person's and stays, see `Authorship.held`.
    """
    outcome = FlushResult()
    classes = {} if summary is None else classes_of(place.dataset, summary)
    before = _read(place, pending, error_field, summary)
    old_text = text_of_old_mark(texts_of(place.dataset, place.field_path(place.name)))
    # Collected first, so that each list goes to the database in one request.
    entries: list[JournalEntry] = []
    operations: list[UpdateOne] = []
    for document, wanted in pending.items():
        if document not in before or wanted.size > _MOST_BYTES:
            outcome.refused[document] = _FULL if document in before else DELETED
            continue
        found = before[document]
        persons = (held or {}).get(document, {})
        outcome.kept += _leave(wanted, persons)
        if summary is not None and wanted.labels and "" in persons:
            outcome.kept += 1
        elif summary is not None and wanted.labels:
            labels = labels_at(found, place.root)
            merged = [{**label, **wanted.labels.get(label["_id"], {})} for label in labels]
            wanted.fields[summary.name] = summary.lines(merged, classes)
        # If the sample gets results, the reason of an earlier run no longer applies.
        if wanted.labels or wanted.added or set(wanted.fields) - {error_field}:
            outcome.results.add(document)
            if found.get(error_field) is not None and document not in keep_error:
                wanted.fields.setdefault(error_field, None)
                outcome.cleared = True
        changes, updates = _changes(place, document, wanted, found, outcome, old_text)
        added, more = _added(place, document, wanted, found)
        outcome.added += len(wanted.added)
        entries.append(journal.entry(document, place.frames, changes, added))
        # Two operations: MongoDB cannot set values in a list and push to it in one.
        operations += [*updates, *more]
    # The journal comes first: if we are killed after this line, undo finds the values unchanged.
    journal.write(entries)
    written = before.keys() - outcome.refused.keys()
    too_large = write(place.documents, place.frames, operations, written)
    outcome.refused |= dict.fromkeys(too_large, _FULL)
    return outcome


def write(
    collection: Any, frames: bool, operations: list[UpdateOne], documents: Iterable[ObjectId]
) -> list[ObjectId]:
    """Change documents, and their samples or frames in this process's memory.

    Args:
        collection: the MongoDB collection.
        frames: whether it holds frames; else it holds samples.
        operations: the changes, in any order.
        documents: the documents that they change.

    Returns:
        The documents that would have become too large, and are unchanged.

    Raises:
        PluginError: MongoDB refuses for another reason.
    """
    if not operations:
        return []
    too_large = []
    try:
        collection.bulk_write(operations, ordered=False)  # a refusal does not stop the others
    except BulkWriteError as refusal:
        for error in refusal.details["writeErrors"]:
            if error["code"] not in _TOO_LARGE:
                raise PluginError(f"The database refused to write: {error['errmsg']}") from refusal
            too_large.append(operations[error["index"]]._filter["_id"])
    if frames:
        # FiftyOne keeps one object for each document; people hold them.
        fofr.Frame._reload_docs(collection.name, frame_ids=documents)
    else:
        fos.Sample._reload_docs(collection.name, sample_ids=documents)
    return too_large


def _read(
    place: LabelField,
    pending: dict[ObjectId, Pending],
    error_field: str,
    summary: Summary | None,
) -> dict[ObjectId, dict[str, Any]]:
    """Read only the parts of the documents that will be written."""
    names = {name for one in pending.values() for each in one.labels.values() for name in each}
    names |= {OLD_MARK, *map(mark_of, names)}
    others = {name for one in pending.values() for name in one.fields} | {error_field}
    projection = {f"{place.root}.{name}" for name in names | {"_id"}} | others
    if summary is not None:
        projection |= {summary.name, *summary.paths}
    query = {"_id": {"$in": list(pending)}}
    wanted: dict[str, Any] = dict.fromkeys(projection, True)
    if place.in_list:  # without a list: is the field null, missing, or has it anything else?
        is_list = {"$isArray": f"${place.root}"}
        wanted[_WITHOUT_LIST] = {"$cond": [is_list, "$$REMOVE", f"${place.name}"]}
    found = place.documents.find(query, wanted)
    return {document["_id"]: document for document in found}


def labels_at(document: Mapping[str, Any], root: str) -> list[dict[str, Any]]:
    """The labels of a document at a path, which leads to a list of them or to one."""
    found = value_at(document, root)
    labels = found if isinstance(found, list) else [found]
    return [label for label in labels if isinstance(label, dict) and "_id" in label]


def value_at(document: Mapping[str, Any], path: str) -> Any:
    """The value of a document at a path, or None."""
    value: Any = document
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _changes(
    place: LabelField,
    document: ObjectId,
    wanted: Pending,
    found: dict[str, Any],
    outcome: FlushResult,
    old_text: str | None,
) -> tuple[list[Change], list[UpdateOne]]:
    """The journal's lines and the one operation that sets attributes and fields."""
    labels = {label["_id"]: label for label in labels_at(found, place.root)}
    changes = [
        Change("", None, name, found.get(name, MISSING), stamp(value))
        for name, value in wanted.fields.items()
    ]
    values: dict[str, Any] = dict(wanted.fields)
    filters: list[Mapping[str, Any]] = []
    for label, attributes in wanted.labels.items():
        if label not in labels:
            outcome.gone += 1
            continue
        outcome.regions += 1
        prefix = place.root
        if place.in_list:  # by id, not by index: somebody may have added or deleted labels since
            prefix = f"{place.root}.$[l{len(filters)}]"
            filters.append({f"l{len(filters)}._id": label})
        new = {**attributes, **_lost_marks(attributes, labels[label], old_text)}
        values |= {f"{prefix}.{name}": value for name, value in new.items()}
        changes += [
            Change(place.root, label, name, labels[label].get(name, MISSING), stamp(value))
            for name, value in new.items()
        ]
    if not values:
        return changes, []
    query: dict[str, Any] = {"_id": document}
    if not place.in_list and wanted.labels:  # nothing, if another label took its place
        query[f"{place.root}._id"] = next(iter(wanted.labels))
    update = {"$set": {**values, "last_modified_at": utc_now()}}
    return changes, [UpdateOne(query, update, array_filters=filters or None)]


def _leave(wanted: Pending, persons: Mapping[str, Held]) -> int:
    """Drop the values that would replace a person's; how many labels keep some for that."""
    kept = 0
    for label, attributes in list(wanted.labels.items()):
        held = persons.get(str(label))
        if held is not None and held.names & attributes.keys():
            kept += 1
            free = {name: attributes[name] for name in attributes.keys() - held.names}
            wanted.labels[label] = free
            if not free:
                del wanted.labels[label]
    return kept


def _lost_marks(
    attributes: Mapping[str, Any], label: Mapping[str, Any], old_text: str | None
) -> dict[str, None]:
    """The marks of review of texts that are replaced, since nobody has seen the new ones."""
    marks = [(name, mark_of(name)) for name in attributes]
    marks += [] if old_text is None else [(old_text, OLD_MARK)]
    found = [
        mark
        for name, mark in marks
        if label.get(mark) is not None
        and name in attributes
        and not equal(attributes[name], label.get(name, MISSING))
    ]
    return dict.fromkeys(found)


def _added(
    place: LabelField, document: ObjectId, wanted: Pending, found: dict[str, Any]
) -> tuple[list[Added], list[UpdateOne]]:
    """The journal's lines and the operation that adds labels."""
    if not wanted.added:
        return [], []
    # A field that never had any labels is null or missing: nothing can be pushed there.
    made = not isinstance(value_at(found, place.root), list)
    old = found.get(_WITHOUT_LIST, MISSING) if made else None
    update: dict[str, Any] = {"$set": {"last_modified_at": utc_now()}}
    if made:  # $push would make a plain list, which FiftyOne could not read
        holder = place.holder_class(**{place.list_name: []}).to_dict()
        update["$set"][place.name] = {**holder, place.list_name: wanted.added}
    else:
        update["$push"] = {place.root: {"$each": wanted.added}}
    stamps = {label["_id"]: label_stamp(label) for label in wanted.added}
    added = Added(place.name, place.root, stamps, made, old)
    return [added], [UpdateOne({"_id": document}, update)]
