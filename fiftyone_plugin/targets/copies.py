"""Bring views of patches and frames, whose samples are copies, up to date with their source.

FiftyOne's own `reload` makes a new dataset of copies and deletes the old one, which other views of
the same copies still need. Here the copies stay, and get the values of their source.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import fiftyone as fo
import fiftyone.core.sample as fos
from fiftyone.core.video import FramesView

from ..labels.fields import attributes_of, labels_path
from .views import GENERATED, label_type

if TYPE_CHECKING:
    from collections.abc import Iterable

_SOURCE = "_pam_source"
_OF_THE_COPY = frozenset(
    {"id", "sample_id", "frame_id", "frame_number", "filepath", "tags", "metadata"}
    | {"created_at", "last_modified_at"}
)


def refresh_copies(collection: Any) -> None:
    """Give the copies of a view of patches or frames the present values of their source.

    Labels that the copies do not have, because the view was made without them, are not added.
    """
    source, copies = collection._source_collection, collection._dataset
    if isinstance(source, GENERATED):  # patches of frames
        refresh_copies(source)
    prefix, key = "", "_sample_id"
    schema = source.get_field_schema()
    if isinstance(collection, FramesView):
        prefix, key = "frames.", "_id"
        schema = source.get_frame_field_schema()
    elif source._is_frames:
        key = "_frame_id"
    known = copies.get_field_schema()
    # Frames have all fields of their source, patches those that they were made with.
    names = [name for name in schema if name not in _OF_THE_COPY and (prefix or name in known)]
    copies._merge_sample_field_schema({name: schema[name] for name in names if name not in known})
    labels = [name for name in names if _holds_labels(source, f"{prefix}{name}")]
    for name in labels:
        _declare(source, f"{prefix}{name}", copies, name)
    values = {
        name: _labels(source, f"{prefix}{name}", copies, name)
        if name in labels and name in known
        else {"$first": f"${_SOURCE}.{name}"}
        for name in names
    }
    dataset = collection._root_dataset
    frames = bool(prefix) or key == "_frame_id"
    stored = dataset._frame_collection if frames else dataset._sample_collection
    copies._sample_collection.aggregate(_stages(stored.name, key, values, copies))
    fos.Sample._reload_docs(copies._sample_collection_name)


def _stages(stored: str, key: str, values: dict[str, Any], copies: Any) -> Iterable[dict[str, Any]]:
    """MongoDB stages that write values, which are expressions of `_SOURCE`, into the copies."""
    lookup = {"from": stored, "localField": key, "foreignField": "_id", "as": _SOURCE}
    return [
        {"$lookup": {**lookup, "pipeline": [{"$project": dict.fromkeys(values, True)}]}},
        {"$match": {f"{_SOURCE}.0": {"$exists": True}}},
        {"$project": values},
        {"$merge": {"into": copies._sample_collection_name, "whenNotMatched": "discard"}},
    ]


def _holds_labels(collection: Any, field: str) -> bool:
    kind = label_type(collection, field)
    return isinstance(kind, type) and issubclass(kind, fo.Label)


def _declare(source: Any, source_field: str, copies: Any, field: str) -> None:
    """Declare the attributes of the source's labels that the copies do not know yet."""
    known = attributes_of(copies, field)
    root = labels_path(field, label_type(copies, field))
    copies._merge_sample_field_schema(
        {
            f"{root}.{name}": found
            for name, found in attributes_of(source, source_field).items()
            if name not in known
        }
    )


def _labels(source: Any, source_field: str, copies: Any, field: str) -> Any:
    """An expression for the copies' labels, each with the attributes that its source has now."""
    in_source = getattr(label_type(source, source_field), "_LABEL_LIST_FIELD", None)
    in_copy = getattr(label_type(copies, field), "_LABEL_LIST_FIELD", None)
    if in_source is None:
        stored: Any = f"${_SOURCE}.{field}"
    else:
        stored = {"$ifNull": [{"$first": f"${_SOURCE}.{field}.{in_source}"}, []]}

    def renewed(label: str) -> dict[str, Any]:
        same = {"$eq": ["$$stored._id", f"{label}._id"]}
        found = {"$filter": {"input": stored, "as": "stored", "cond": same}}
        return {"$mergeObjects": [label, {"$first": found}]}

    if in_copy is None:
        return {"$cond": [{"$ifNull": [f"${field}._id", False]}, renewed(f"${field}"), f"${field}"]}
    items = f"${field}.{in_copy}"
    each = {"$map": {"input": items, "as": "label", "in": renewed("$$label")}}
    whole = {"$mergeObjects": [f"${field}", {in_copy: each}]}
    return {"$cond": [{"$isArray": items}, whole, f"${field}"]}
