"""Whether what a run writes to is still called as it was: fields are renamed and deleted."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

import fiftyone.core.odm as foo

from ..errors import PluginError
from ..labels.fields import OWN
from .bulk_write import labels_at
from .history import equal
from .journal import documents_of, entries_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from ..labels.fields import LabelField
    from .journal import Change, Entry
    from .records import RunRecord

_LOOKED_AT = 50  # documents


def check_present(place: LabelField, paths: Collection[str]) -> None:
    """See that the database still has what a run is writing to.

    Args:
        place: where the labels are.
        paths: what it writes, by its path in the schema.

    Raises:
        PluginError: the dataset, the field or an attribute is gone, or has another name.
    """
    schema = "frame_fields" if place.frames else "sample_fields"
    found = foo.get_db_conn().datasets.find_one({"_id": place.dataset._doc.id}, [schema])
    if found is None:
        raise PluginError("The dataset was deleted while the run was going on.")
    needed = [place.name, *(_inside(path) for path in paths if path.rsplit(".")[-1] not in OWN)]
    gone = next((path for path in needed if not _declares(found[schema], path.split("."))), None)
    if gone is not None:
        raise PluginError(f"{gone!r} was renamed or deleted while the run was going on.")


def refuse_renamed(dataset: Any, record: RunRecord) -> None:
    """See that what a run wrote is not under another name now, where undo would miss it.

    What was deleted is no reason to refuse.

    Raises:
        PluginError: a field or an attribute was renamed; the sentence names it.
    """
    dataset.reload()
    if all(dataset.get_field(path) is not None for path in record.paths):
        return
    documents = [one for one, _ in islice(documents_of(record.journal), _LOOKED_AT)]
    entries = list(entries_of([record.journal], documents))
    frames = any(entry.frames for entry in entries)
    collection = dataset._frame_collection if frames else dataset._sample_collection
    found = {one["_id"]: one for one in collection.find({"_id": {"$in": documents}})}
    prefix = "frames." if frames else ""
    for old, new in _renamed(dataset, record, prefix, entries, found):
        raise PluginError(
            f"{prefix + old!r}, which the run {record.key!r} wrote, is called {prefix + new!r} "
            "now: rename it back, then undo the run."
        )


def _renamed(
    dataset: Any,
    record: RunRecord,
    prefix: str,
    entries: Sequence[Entry],
    found: Mapping[Any, dict[str, Any]],
) -> Iterator[tuple[str, str]]:
    """Old and new names of fields, and of attributes of labels and samples."""
    gone = [_inside(path) for path in record.paths if dataset.get_field(path) is None]
    for field in sorted({path.split(".")[0] for path in gone}):
        if dataset.get_field(prefix + field) is None:
            new = _field_with(_labels_of(entries, field), found, without=field)
            if new is not None:
                yield field, new
    for path in gone:
        root, _, name = path.rpartition(".")
        changes = [
            (entry.document, change)
            for entry in entries
            for change in entry.changes
            if (change.root, change.slot[1]) == (root, name) and change.new is not None
        ]
        new = _name_with(changes, found)
        if new is not None:
            yield path, f"{root}.{new}" if root else new


def _labels_of(entries: Sequence[Entry], field: str) -> set[Any]:
    """The ids of the labels that a run wrote to or added in a field."""
    changed = {
        change.slot[0]
        for entry in entries
        for change in entry.changes
        if change.root.split(".")[0] == field
    }
    added = {
        label
        for entry in entries
        for one in entry.added
        if one.field == field
        for label in one.labels
    }
    return (changed | added) - {None}


def _field_with(
    labels: set[Any], found: Mapping[Any, dict[str, Any]], *, without: str
) -> str | None:
    """The field that has some of these labels now."""
    for document in found.values():
        for name, value in document.items():
            if name == without or not isinstance(value, dict):
                continue
            for root in (name, *(f"{name}.{part}" for part in value)):
                if any(label["_id"] in labels for label in labels_at(document, root)):
                    return name
    return None


def _name_with(
    changes: Sequence[tuple[Any, Change]], found: Mapping[Any, dict[str, Any]]
) -> str | None:
    """The one name under which all that was written is now; None if there is none, or several."""
    names: set[str] | None = None
    for document, change in changes:
        owner = _owner(found.get(document), change)
        if owner is None or (change.slot[1] in owner and owner[change.slot[1]] is not None):
            continue
        same = {
            name for name, value in owner.items() if name not in OWN and equal(change.new, value)
        }
        names = same if names is None else names & same
    return next(iter(names)) if names and len(names) == 1 else None


def _owner(document: dict[str, Any] | None, change: Change) -> dict[str, Any] | None:
    if document is None or change.slot[0] is None:
        return document
    labels = {label["_id"]: label for label in labels_at(document, change.root)}
    return labels.get(change.slot[0])


def _inside(path: str) -> str:
    return path.removeprefix("frames.")


def _declares(fields: Sequence[Mapping[str, Any]], parts: Sequence[str]) -> bool:
    """Whether a schema, as the database keeps it, has a path."""
    for field in fields:
        if field["name"] == parts[0]:
            return len(parts) == 1 or _declares(field.get("fields") or (), parts[1:])
    return False
