"""Check that the schema has a run's fields, and remove the fields that nobody uses any more."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fiftyone.core.odm as foo

from ..errors import PluginError
from ..labels.fields import OWN, LabelField
from .records import UNDONE, RunRecord

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence


_VALUES = [  # MongoDB's types of everything but null that FiftyOne writes
    "string",
    "double",
    "int",
    "long",
    "bool",
    "array",
    "object",
    "binData",
    "objectId",
    "date",
]


def check_present(place: LabelField, paths: Collection[str]) -> None:
    """Check that the database still has the fields that a run writes.

    MongoDB would take values for a field that is gone, and nobody would see them: the schema does
    not have it.

    Args:
        place: where the labels are.
        paths: what it writes, by its path in the schema.

    Raises:
        PluginError: the dataset, the field or an attribute is gone, or has another name.
    """
    schema = "frame_fields" if place.frames else "sample_fields"
    # From the database: what this process holds in memory may be old.
    found = foo.get_db_conn().datasets.find_one({"_id": place.dataset._doc.id}, [schema])
    if found is None:
        raise PluginError("The dataset was deleted while the run was going on.")
    needed = [path.removeprefix("frames.") for path in paths if path.rsplit(".")[-1] not in OWN]
    for path in (place.name, *needed):
        if not _declares(found[schema], path.split(".")):
            raise PluginError(f"{path!r} was renamed or deleted while the run was going on.")


def _declares(fields: Sequence[Mapping[str, Any]], parts: Sequence[str]) -> bool:
    """Whether a schema, as the database keeps it, has a path."""
    field = next((field for field in fields if field["name"] == parts[0]), None)
    if field is None or len(parts) == 1:
        return field is not None
    return _declares(field.get("fields") or (), parts[1:])


def undeclare(dataset: Any, record: RunRecord, others: list[RunRecord]) -> list[str]:
    """Remove the fields and attributes that undone runs declared and nobody uses any more.

    In use is what another run writes, and what has a value (other than null) anywhere.

    Args:
        dataset: of the run.
        record: the run that is being undone.
        others: the dataset's other runs.

    Returns:
        The paths that the schema no longer has.
    """
    undone = [other for other in others if other.state in UNDONE]
    in_use = {path for other in others if other not in undone for path in other.paths}
    candidates = set(record.declared)
    # A field that both declared could not go while the other run still used it.
    for other in undone:
        gone = other.undone.undeclared if other.undone else ()
        candidates |= set(other.declared) - set(gone)
    removed: list[str] = []
    # Fields before what is inside them: what is inside goes with its field.
    for path in sorted(candidates, key=lambda path: path.count(".")):
        if any(path.startswith(f"{parent}.") for parent in removed):
            removed.append(path)
        elif _is_free(dataset, path, in_use):
            _remove(dataset, path)
            removed.append(path)
    return removed


def _is_free(dataset: Any, path: str, in_use: set[str]) -> bool:
    used = any(f"{one}.".startswith(f"{path}.") for one in in_use)
    if used or dataset.get_field(path) is None:
        return False
    collection, path = _collection(dataset, path)
    return collection.find_one({path: {"$type": _VALUES}}, {"_id": True}) is None


def _collection(dataset: Any, path: str) -> tuple[Any, str]:
    if path.startswith("frames."):
        return dataset._frame_collection, path.removeprefix("frames.")
    return dataset._sample_collection, path


def _remove(dataset: Any, path: str) -> None:
    """Remove a field from the schema, and from documents where it is null."""
    collection, inside = _collection(dataset, path)
    frames = inside != path
    # FiftyOne writes null for what is declared; removing the declaration alone would leave that.
    nulls = collection.find_one({inside: {"$exists": True}}, {"_id": True}) is not None
    way = "delete" if nulls or "." not in inside else "remove_dynamic"
    getattr(dataset, f"{way}_{'frame' if frames else 'sample'}_field")(inside)
