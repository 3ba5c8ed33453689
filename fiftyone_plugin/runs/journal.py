"""What was there before: every value that a run changes is written down before the change.

The journal is a collection of its own in FiftyOne's database. One entry holds what one flush
changes in one document (of a sample, or of a frame). Nothing in it is ever changed, so a run that
was killed anywhere can be undone, an undo that was killed can be repeated, and a clone of the
dataset can undo for itself: it shares the journal with its original.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import bson
import fiftyone.core.odm as foo
from bson import ObjectId
from pymongo import ASCENDING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

NAME = "pam_labeling.journal"
_DIGEST_ABOVE = 64  # bytes
_DOCUMENT_LIMIT = 8 * 1024 * 1024  # half of what a document may have

Slot = tuple[ObjectId | None, str]
"""A label and an attribute of it, or None and a field of the sample."""


@dataclass(frozen=True)
class Change:
    """One value that a run sets.

    Attributes:
        slot: where, inside the document.
        old: what was there, as MongoDB has it; None where `missing`.
        missing: whether nothing was there, not even null.
        new: the stamp of what the run writes.
        root: the path of the label, or "" for a field of the sample.
    """

    slot: Slot
    old: Any
    missing: bool
    new: Any
    root: str


@dataclass(frozen=True)
class Added:
    """Labels that a run adds to a field of one document.

    Attributes:
        field: the field.
        root: the path of its list of labels, or the field itself.
        labels: the stamp of each new label, by id.
        old: the whole field as it was, where it had to be made; else None.
        made: whether it had to be made.
        missing: whether the field was not there at all, not even null.
    """

    field: str
    root: str
    labels: dict[ObjectId, Any]
    old: Any
    made: bool
    missing: bool


@dataclass(frozen=True)
class Entry:
    """What one flush changes in one document."""

    journal: str
    document: ObjectId
    frames: bool
    at: int
    changes: tuple[Change, ...] = ()
    added: tuple[Added, ...] = ()


def stamp(value: Any) -> Any:
    """What tells a value from others: itself, or the digest of long binary data such as masks.

    Args:
        value: as MongoDB has it.
    """
    if isinstance(value, bytes) and len(value) > _DIGEST_ABOVE:
        return {"digest": hashlib.blake2b(value, digest_size=16).hexdigest()}
    return value


def is_digest(value: Any) -> bool:
    """Whether a stamp stands for long binary data."""
    return isinstance(value, dict) and value.keys() == {"digest"}


def label_stamp(label: Mapping[str, Any]) -> str:
    """A digest of a whole label that does not mind nulls and the order of attributes."""
    plain = {name: label[name] for name in sorted(label) if label[name] is not None}
    return hashlib.blake2b(bson.encode(plain), digest_size=16).hexdigest()


def same(one: Any, other: Any) -> bool:
    """Whether two values or stamps are equal for MongoDB, where NaN is NaN and 1 is not True."""
    if type(one) is str and type(other) is str:  # nearly always, and much faster
        return one == other
    return bool(bson.encode({"": one}) == bson.encode({"": other}))


class Journal:
    """The entries of one run, to write."""

    def __init__(self, journal: str) -> None:
        self._id = journal
        self._last = 0
        order = [("journal", ASCENDING), ("document", ASCENDING), ("at", ASCENDING)]
        _collection().create_index(order)

    def entry(
        self, document: ObjectId, frames: bool, changes: list[Change], added: list[Added]
    ) -> Entry:
        """A new entry, later than any before."""
        self._last = max(time.time_ns(), self._last + 1)
        return Entry(self._id, document, frames, self._last, tuple(changes), tuple(added))

    def write(self, entries: Sequence[Entry]) -> None:
        """Write entries, and return when the database has them."""
        documents = [document for entry in entries for document in _documents(entry)]
        if documents:
            _collection().insert_many(documents, ordered=False)


def entries_of(
    journals: Sequence[str], documents: Sequence[ObjectId] | None = None
) -> Iterator[Entry]:
    """Entries by document, in the order in which they were written; of all or of some documents."""
    query: dict[str, Any] = {"journal": {"$in": list(journals)}}
    if documents is not None:
        query["document"] = {"$in": list(documents)}
    order = [("document", ASCENDING), ("at", ASCENDING)]
    for document in _collection().find(query, {"_id": False}).sort(order).allow_disk_use(True):
        yield _entry(document)


def documents_of(journal: str) -> Iterator[tuple[ObjectId, bool]]:
    """The documents that a run changed, each once, and whether they are frames."""
    query = {"journal": journal}
    found = _collection().find(query, {"document": True, "frames": True})
    last = None
    for entry in found.sort([("document", ASCENDING), ("at", ASCENDING)]).allow_disk_use(True):
        if entry["document"] != last:
            last = entry["document"]
            yield last, entry["frames"]


def collect(in_use: Callable[[], Iterable[str]]) -> None:
    """Drop the journals that no run of any dataset refers to any more.

    Args:
        in_use: asked after the journals were listed, so that a run that starts meanwhile is safe.
    """
    known = set(_collection().distinct("journal"))
    unused = known - set(in_use()) if known else known
    if unused:
        _collection().delete_many({"journal": {"$in": sorted(unused)}})


def _collection() -> Any:
    return foo.get_db_conn()[NAME]


def _documents(entry: Entry) -> Iterator[dict[str, Any]]:
    """The entry for MongoDB, in parts where old masks would make it too long for a document."""
    head = {
        "journal": entry.journal,
        "document": entry.document,
        "frames": entry.frames,
        "at": entry.at,
    }
    size = 0
    part: list[dict[str, Any]] = []
    for change in entry.changes:
        size += len(change.old) if isinstance(change.old, bytes | str) else 0
        if part and size > _DOCUMENT_LIMIT:
            yield {**head, "changes": part, "added": []}
            size, part = 0, []
        part.append(_change_document(change))
    added = [_added_document(one) for one in entry.added]
    yield {**head, "changes": part, "added": added}


def _change_document(change: Change) -> dict[str, Any]:
    label, name = change.slot
    document = {"label": label, "name": name, "root": change.root, "new": change.new}
    if not change.missing:
        document["old"] = change.old
    return document


def _added_document(added: Added) -> dict[str, Any]:
    document: dict[str, Any] = {
        "field": added.field,
        "root": added.root,
        "labels": [{"_id": label, "stamp": found} for label, found in added.labels.items()],
        "made": added.made,
    }
    if not added.missing:
        document["old"] = added.old
    return document


def _entry(document: Mapping[str, Any]) -> Entry:
    changes = [
        Change(
            slot=(change["label"], change["name"]),
            old=change.get("old"),
            missing="old" not in change,
            new=change["new"],
            root=change["root"],
        )
        for change in document["changes"]
    ]
    added = [
        Added(
            field=one["field"],
            root=one["root"],
            labels={label["_id"]: label["stamp"] for label in one["labels"]},
            old=one.get("old"),
            made=one["made"],
            missing="old" not in one,
        )
        for one in document["added"]
    ]
    return Entry(
        document["journal"],
        document["document"],
        document["frames"],
        document["at"],
        tuple(changes),
        tuple(added),
    )
