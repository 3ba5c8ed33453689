"""The journal: the old values, written down before a run changes them.

The journal is a separate collection in FiftyOne's database. One entry holds the changes of one
flush in one document (of a sample, or of a frame). Entries never change. So a run that was killed
at any point can be undone, an undo that was killed can be repeated, and a clone of the dataset,
which shares the journal with its original, can undo independently.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import bson
import fiftyone.core.odm as foo
from bson import ObjectId
from pymongo import ASCENDING

from ..errors import PluginError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

NAME = "pam_labeling.journal"
_ORDER = [("document", ASCENDING), ("at", ASCENDING)]
_DIGEST_ABOVE = 64  # bytes
_DOCUMENT_LIMIT = 8 * 1024 * 1024  # half of what a document may have

MISSING: Any = object()
"""Stands for no value at all, not even null."""


@dataclass(frozen=True)
class Change:
    """One value that a run sets.

    Attributes:
        root: the path of the labels, or "" for a field of the sample.
        label: the label's id; None for a field of the sample.
        name: the attribute or field.
        old: the old value in MongoDB's types, or `MISSING`.
        new: the stamp of the new value.
    """

    root: str
    label: ObjectId | None
    name: str
    old: Any
    new: Any


@dataclass(frozen=True)
class Added:
    """Labels that a run adds to a field of one document.

    Attributes:
        field: the field.
        root: the path of its list of labels, or the field itself.
        labels: the stamp of each new label, by id.
        made: whether the run made the field.
        old: if it made the field, the old value: null, or `MISSING`; else None.
    """

    field: str
    root: str
    labels: dict[ObjectId, Any]
    made: bool
    old: Any


@dataclass(frozen=True)
class JournalEntry:
    """The changes of one flush in one document; `at` is the time in nanoseconds."""

    journal: str
    document: ObjectId
    frames: bool
    at: int
    changes: tuple[Change, ...] = ()
    added: tuple[Added, ...] = ()


def stamp(value: Any) -> Any:
    """The stamp of a value: itself, or the digest of long binary data such as masks.

    Args:
        value: the value in MongoDB's types.
    """
    if isinstance(value, bytes) and len(value) > _DIGEST_ABOVE:
        return {"digest": hashlib.blake2b(value, digest_size=16).hexdigest()}
    return value


def is_digest(value: Any) -> bool:
    """Whether a stamp stands for long binary data."""
    return isinstance(value, dict) and value.keys() == {"digest"}


def label_stamp(label: Mapping[str, Any]) -> str:
    """A digest of a whole label, the same for any order of attributes, with or without nulls."""
    plain = {name: label[name] for name in sorted(label) if label[name] not in (None, MISSING)}
    return hashlib.blake2b(bson.encode(plain), digest_size=16).hexdigest()


def equal(one: Any, other: Any) -> bool:
    """Whether two values, or a value and a stamp, are the same; `MISSING` equals null."""
    plain, also = (None if value is MISSING else stamp(value) for value in (one, other))
    if type(plain) is str and type(also) is str:  # nearly always, and much faster
        return plain == also
    # Not ==, for which NaN differs from itself and 1 equals True.
    return bool(bson.encode({"": plain}) == bson.encode({"": also}))


class Journal:
    """Writes the entries of one run."""

    def __init__(self, journal: str) -> None:
        self._id = journal
        self._last = 0
        _collection().create_index([("journal", ASCENDING), *_ORDER])  # does nothing if it exists

    def entry(
        self,
        document: ObjectId,
        frames: bool,
        changes: Sequence[Change],
        added: Sequence[Added] = (),
    ) -> JournalEntry:
        """Make a new entry, later than all before."""
        self._last = max(time.time_ns(), self._last + 1)  # clocks may stand still or go back
        return JournalEntry(self._id, document, frames, self._last, tuple(changes), tuple(added))

    def write(self, entries: Sequence[JournalEntry]) -> None:
        """Write entries, and return once the database has them."""
        documents = [document for entry in entries for document in _documents(entry)]
        if documents:
            _collection().insert_many(documents, ordered=False)


def entries_of(
    journals: Sequence[str], documents: Sequence[ObjectId] | None = None
) -> Iterator[JournalEntry]:
    """Read the entries of all or some documents, by document and in the order of writing.

    Raises:
        PluginError: an entry cannot be read.
    """
    query: dict[str, Any] = {"journal": {"$in": list(journals)}}
    if documents is not None:
        query["document"] = {"$in": list(documents)}
    for found in _collection().find(query, {"_id": False}).sort(_ORDER).allow_disk_use(True):
        try:
            entry = _entry(found)
        except (AttributeError, KeyError, TypeError) as error:
            raise PluginError(
                f"The old values of the sample or frame {found['document']} are damaged or from a "
                "newer pam-labeling: it was not changed. Update the plugin, and try again."
            ) from error
        yield entry


def _entry(found: Mapping[str, Any]) -> JournalEntry:
    changes = [Change(**{"old": MISSING, **each}) for each in found["changes"]]
    added = []
    for each in found["added"]:
        stamps = {label["_id"]: label["stamp"] for label in each["labels"]}
        added.append(Added(**{"old": MISSING, **each, "labels": stamps}))
    return JournalEntry(**{**found, "changes": tuple(changes), "added": tuple(added)})


def documents_of(journal: str) -> Iterator[tuple[ObjectId, bool]]:
    """The documents that a run changed, each once, and whether it is a frame."""
    found = _collection().find({"journal": journal}, {"document": True, "frames": True})
    found = found.sort(_ORDER).allow_disk_use(True)
    for document, entries in groupby(found, key=lambda entry: entry["document"]):
        yield document, next(entries)["frames"]


def collect(in_use: Callable[[], Iterable[str]]) -> None:
    """Delete the journals to which no run of any dataset refers.

    Args:
        in_use: lists the journals in use; called after the stored journals are listed, so that a
            run that starts meanwhile is safe.
    """
    known = set(_collection().distinct("journal"))
    if unused := known and known - set(in_use()):
        _collection().delete_many({"journal": {"$in": sorted(unused)}})


def _collection() -> Any:
    return foo.get_db_conn()[NAME]


def _documents(entry: JournalEntry) -> Iterator[dict[str, Any]]:
    """The entry for MongoDB, in parts if old masks would make it too long for a document."""
    size = 0  # in bytes, of the values that can be long
    part: list[dict[str, Any]] = []
    for change in entry.changes:
        size += len(change.old) if isinstance(change.old, bytes | str) else 0
        if part and size > _DOCUMENT_LIMIT:
            yield {**vars(entry), "changes": part, "added": []}
            size, part = 0, []
        part.append(_present(change))
    added = [
        {
            **_present(one),
            "labels": [{"_id": label, "stamp": found} for label, found in one.labels.items()],
        }
        for one in entry.added
    ]
    yield {**vars(entry), "changes": part, "added": added}


def _present(record: Change | Added) -> dict[str, Any]:
    """The attributes of a record, except an `old` that is `MISSING`."""
    return {name: value for name, value in vars(record).items() if value is not MISSING}
